//! Where the programs of the sandbox's server come from.

use anyhow::Result;
use rollcall_sandbox::{Auth, Binaries, Options, Person, Server, SignupKind, Source};
use rollcall_tests::missing;

async fn first_signup_works(source: Source) -> Result<String> {
    let server = Server::start(&Options {
        source,
        ..Options::default()
    })?;
    let database = server.create_database("rollcall").await?;
    Auth::new(&database)
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    Ok(server.version().to_owned())
}

#[tokio::test]
async fn the_systems_server_takes_a_signup() -> Result<()> {
    if missing::has_postgres(&Source::System)? {
        let version = first_signup_works(Source::System).await?;
        assert!(version.starts_with("PostgreSQL "), "{version}");
    }
    Ok(())
}

#[tokio::test]
async fn the_wheels_server_takes_a_signup() -> Result<()> {
    if missing::has_postgres(&Source::Wheel)? {
        assert_eq!(first_signup_works(Source::Wheel).await?, "PostgreSQL 18.6");
    }
    Ok(())
}

#[tokio::test]
async fn a_given_folders_server_takes_a_signup() -> Result<()> {
    let folder = Binaries::find(&Source::from_env()?)?.folder().to_owned();
    first_signup_works(Source::Folder(folder)).await?;
    Ok(())
}

#[test]
fn a_folder_without_a_server_is_refused() {
    let error = Binaries::find(&Source::Folder("/nowhere".into())).expect_err("no such folder");
    assert!(format!("{error:#}").contains("/nowhere"), "{error:#}");
}
