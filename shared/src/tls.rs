//! TLS to PostgreSQL: chain and host name verified, against a private authority or the system's.

#[cfg_attr(not(feature = "tls"), path = "tls/none.rs")]
#[cfg_attr(all(feature = "tls", target_os = "linux"), path = "tls/openssl.rs")]
#[cfg_attr(all(feature = "tls", not(target_os = "linux")), path = "tls/native.rs")]
mod library;

use crate::connection_string::CaCertificate;
use crate::error::{Error, Result};

pub(crate) use library::{Connector, is_error};

/// A connector that trusts the given authority, and nothing else if it is a private one.
///
/// Supabase signs its servers' certificates with authorities of its own, and their two generations have the same
/// subject: a file may hold several certificates, and all of them count.
///
/// # Errors
/// [`Error::CaCertificate`] if the file cannot be read or holds no certificate, [`Error::WithoutTls`] if this program was
/// built without TLS.
pub(crate) fn connector(ca: &CaCertificate) -> Result<Connector> {
    match ca {
        CaCertificate::System => library::trusting_the_system(),
        CaCertificate::Pem(text) => library::trusting_only(text.as_bytes()),
        CaCertificate::File(path) => {
            let pem =
                std::fs::read(path).map_err(|_| Error::CaCertificate("the file cannot be read"))?;
            library::trusting_only(&pem)
        }
    }
}
