-- A starter for subscriptions: public.users is filled at the signup, public.customers by the payment provider's web hook.
-- Both have the user's id as their key.
--
-- @target public.users id
-- @form full_name=Person {n}; avatar_url=https://img.example.com/{n}.png
-- @by-server insert into public.customers (id, stripe_customer_id) select u.id, 'cus_' || right(u.id::text, 6) from public.users u where u.id = $1 and right(u.id::text, 1) in ('2', '4', '6')

/**
* Users: what the account page shows and stores.
*/
CREATE TABLE users (
  -- UUID from auth.users
  id uuid REFERENCES auth.users NOT NULL PRIMARY KEY,
  full_name text,
  avatar_url text,
  -- The customer's billing address, stored in JSON format.
  billing_address jsonb,
  -- Stores your customer's payment instruments.
  payment_method jsonb
);
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Can view own user data." ON users FOR SELECT USING (auth.uid() = id);
CREATE POLICY "Can update own user data." ON users FOR UPDATE USING (auth.uid() = id);

/**
* Customers: a private table that no client may see.
*/
CREATE TABLE customers (
  id uuid REFERENCES auth.users NOT NULL PRIMARY KEY,
  stripe_customer_id text
);
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;

CREATE TYPE subscription_status AS ENUM ('trialing', 'active', 'canceled', 'past_due', 'unpaid');
CREATE TABLE subscriptions (
  id text PRIMARY KEY,
  user_id uuid REFERENCES auth.users NOT NULL,
  status subscription_status,
  metadata jsonb,
  created timestamp with time zone DEFAULT timezone('utc'::text, now()) NOT NULL
);
ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Can only view own subs data." ON subscriptions FOR SELECT USING (auth.uid() = user_id);

CREATE FUNCTION public.handle_new_user() RETURNS trigger AS $$
  BEGIN
    INSERT INTO public.users (id, full_name, avatar_url)
    VALUES (new.id, new.raw_user_meta_data->>'full_name', new.raw_user_meta_data->>'avatar_url');
    RETURN new;
  END;
$$ LANGUAGE plpgsql SECURITY DEFINER;

CREATE TRIGGER on_auth_user_created
  AFTER INSERT ON auth.users
  FOR EACH ROW EXECUTE PROCEDURE public.handle_new_user();
