//! TLS to PostgreSQL: chain and host name verified, against a private authority or the system's.

#[cfg(feature = "tls")]
use native_tls::{Certificate, TlsConnector};
#[cfg(feature = "tls")]
use postgres_native_tls::MakeTlsConnector;

use crate::connection_string::CaCertificate;
use crate::error::{Error, Result};

/// Built without TLS, nothing connects to another machine.
///
/// # Errors
/// [`Error::WithoutTls`].
#[cfg(not(feature = "tls"))]
pub(crate) fn connector(_: &CaCertificate) -> Result<tokio_postgres::NoTls> {
    Err(Error::WithoutTls)
}

/// Whether this is what the TLS library says of a handshake.
#[cfg(feature = "tls")]
pub(crate) fn is_error(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<native_tls::Error>()
}

/// Without a library, nothing is.
#[cfg(not(feature = "tls"))]
pub(crate) fn is_error(_: &(dyn std::error::Error + 'static)) -> bool {
    false
}

/// A connector that trusts the given authority, and nothing else if it is a private one.
///
/// Supabase signs its servers' certificates with authorities of its own, and their two generations have the same
/// subject: a file may hold several certificates, and all of them count.
///
/// # Errors
/// [`Error::CaCertificate`] if the file cannot be read or holds no certificate.
#[cfg(feature = "tls")]
pub(crate) fn connector(ca: &CaCertificate) -> Result<MakeTlsConnector> {
    let pem = match ca {
        CaCertificate::System => None,
        CaCertificate::Pem(text) => Some(text.clone().into_bytes()),
        CaCertificate::File(path) => {
            Some(std::fs::read(path).map_err(|_| Error::CaCertificate("the file cannot be read"))?)
        }
    };
    let mut builder = TlsConnector::builder();
    if let Some(pem) = pem {
        let certificates = Certificate::stack_from_pem(&pem)
            .map_err(|_| Error::CaCertificate("it is not PEM text"))?;
        if certificates.is_empty() {
            return Err(Error::CaCertificate("it holds no certificate"));
        }
        builder.disable_built_in_roots(true);
        for certificate in certificates {
            builder.add_root_certificate(certificate);
        }
    }
    let connector = builder
        .build()
        .map_err(|_| Error::CaCertificate("the TLS library refuses it"))?;
    Ok(MakeTlsConnector::new(connector))
}
