//! TLS to PostgreSQL: chain and host name verified, against a private authority or the system's.

#[cfg_attr(target_os = "linux", path = "tls/openssl.rs")]
#[cfg_attr(not(target_os = "linux"), path = "tls/native.rs")]
mod platform;

use crate::connection_string::CaCertificate;
use crate::error::{Error, Result};

pub(crate) use platform::Connector;

/// A connector that trusts the given authority, and nothing else if it is a private one.
///
/// Supabase signs its servers' certificates with authorities of its own, and their two generations have the same
/// subject: a file may hold several certificates, and all of them count.
///
/// # Errors
/// [`Error::CaCertificate`] if the file cannot be read or holds no certificate.
pub(crate) fn connector(ca: &CaCertificate) -> Result<Connector> {
    match ca {
        CaCertificate::System => platform::trusting_the_system(),
        CaCertificate::Pem(text) => platform::trusting_only(text.as_bytes()),
        CaCertificate::File(path) => {
            let pem =
                std::fs::read(path).map_err(|_| Error::CaCertificate("the file cannot be read"))?;
            platform::trusting_only(&pem)
        }
    }
}

const NOT_PEM: Error = Error::CaCertificate("it is not PEM text");
const EMPTY: Error = Error::CaCertificate("it holds no certificate");
const REFUSED: Error = Error::CaCertificate("the TLS library refuses it");
