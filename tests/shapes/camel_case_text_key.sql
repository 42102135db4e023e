-- An application whose tables an object-relational mapper made: quoted names, a text key, times without a zone, and a
-- column that the mapper fills itself.
--
-- @target public."UserProfile" "userId"
-- @form name=Person {n}; image=https://img.example.com/{n}.png

-- CreateEnum
CREATE TYPE "Role" AS ENUM ('USER', 'ADMIN');

-- CreateTable
CREATE TABLE "UserProfile" (
    "userId" TEXT NOT NULL,
    "emailAddress" TEXT,
    "displayName" TEXT,
    "image" TEXT,
    "role" "Role" NOT NULL DEFAULT 'USER',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "UserProfile_pkey" PRIMARY KEY ("userId")
);

-- CreateTable
CREATE TABLE "Post" (
    "id" SERIAL NOT NULL,
    "title" TEXT NOT NULL,
    "authorId" TEXT NOT NULL,

    CONSTRAINT "Post_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "_prisma_migrations" (
    "id" VARCHAR(36) PRIMARY KEY,
    "migration_name" VARCHAR(255) NOT NULL,
    "started_at" TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- CreateIndex
CREATE INDEX "UserProfile_emailAddress_idx" ON "UserProfile"("emailAddress");

-- AddForeignKey
ALTER TABLE "Post" ADD CONSTRAINT "Post_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "UserProfile"("userId") ON DELETE RESTRICT ON UPDATE CASCADE;

ALTER TABLE "UserProfile" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "Post" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "_prisma_migrations" ENABLE ROW LEVEL SECURITY;

-- written by hand
create function public."onSignup"() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public."UserProfile" ("userId", "emailAddress", "displayName", "image", "updatedAt")
  values (new.id::text, new.email, new.raw_user_meta_data ->> 'name', new.raw_user_meta_data ->> 'image', now());
  return new;
end
$$;
create trigger "onSignup" after insert on auth.users for each row execute function public."onSignup"();
create function public."onDelete"() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  delete from public."UserProfile" p where p."userId" = old.id::text;
  return old;
end
$$;
create trigger "onDelete" after delete on auth.users for each row execute function public."onDelete"();
