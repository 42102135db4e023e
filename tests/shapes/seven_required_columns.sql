-- A chat with language models: seven columns of the profile must have a value, a username is made up, and a home workspace
-- comes with it. Neither trigger nor function has the usual name.
--
-- @target public.profiles user_id
-- @repair replay
-- @make no username
-- @also public.workspaces
-- @random public.profiles.username

CREATE TABLE IF NOT EXISTS profiles (
  -- ID
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

  -- RELATIONSHIPS
  user_id UUID NOT NULL UNIQUE REFERENCES auth.users(id) ON DELETE CASCADE,

  -- METADATA
  created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMPTZ,

  -- REQUIRED
  bio TEXT NOT NULL CHECK (char_length(bio) <= 500),
  has_onboarded BOOLEAN NOT NULL DEFAULT FALSE,
  image_url TEXT NOT NULL CHECK (char_length(image_url) <= 1000),
  image_path TEXT NOT NULL CHECK (char_length(image_path) <= 1000),
  profile_context TEXT NOT NULL CHECK (char_length(profile_context) <= 1500),
  display_name TEXT NOT NULL CHECK (char_length(display_name) <= 100),
  use_own_key BOOLEAN NOT NULL,
  username TEXT NOT NULL UNIQUE CHECK (char_length(username) >= 3 AND char_length(username) <= 25),

  -- OPTIONAL
  openai_api_key TEXT CHECK (char_length(openai_api_key) <= 1000)
);
CREATE INDEX idx_profiles_user_id ON profiles (user_id);

CREATE TABLE IF NOT EXISTS workspaces (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id UUID NOT NULL REFERENCES auth.users(id) ON DELETE CASCADE,
  is_home BOOLEAN NOT NULL DEFAULT FALSE,
  name TEXT NOT NULL,
  default_model TEXT NOT NULL,
  default_temperature REAL NOT NULL
);
CREATE UNIQUE INDEX idx_unique_home_workspace_per_user ON workspaces (user_id) WHERE is_home;

ALTER TABLE profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Allow full access to own profiles" ON profiles USING (user_id = auth.uid()) WITH CHECK (user_id = auth.uid());
CREATE POLICY "Allow full access to own workspaces" ON workspaces USING (user_id = auth.uid()) WITH CHECK (user_id = auth.uid());

CREATE OR REPLACE FUNCTION create_profile_and_workspace()
RETURNS TRIGGER
SECURITY DEFINER SET search_path = public
AS $$
DECLARE
  random_username TEXT;
BEGIN
  random_username := 'user' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 16);

  INSERT INTO public.profiles (user_id, bio, has_onboarded, image_url, image_path, profile_context, display_name, use_own_key, username)
  VALUES (NEW.id, '', FALSE, '', '', '', '', FALSE, random_username);

  INSERT INTO public.workspaces (user_id, is_home, name, default_model, default_temperature)
  VALUES (NEW.id, TRUE, 'Home', 'some-model', 0.5);

  RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER create_profile_and_workspace_trigger
AFTER INSERT ON auth.users
FOR EACH ROW
EXECUTE PROCEDURE public.create_profile_and_workspace();

CREATE OR REPLACE FUNCTION prevent_home_field_update() RETURNS TRIGGER AS $$
BEGIN
  IF NEW.is_home IS DISTINCT FROM OLD.is_home THEN
    RAISE EXCEPTION 'Updating the home field of workspace is not allowed.';
  END IF;
  RETURN NEW;
END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER prevent_update_of_home_field BEFORE UPDATE ON workspaces FOR EACH ROW EXECUTE PROCEDURE prevent_home_field_update();
