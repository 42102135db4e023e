//! By the system's own TLS.

use native_tls::{Certificate, TlsConnector};
use postgres_native_tls::MakeTlsConnector;

use crate::error::{Error, Result};

pub(crate) type Connector = MakeTlsConnector;

pub(super) fn trusting_the_system() -> Result<Connector> {
    Ok(MakeTlsConnector::new(TlsConnector::new().map_err(refused)?))
}

pub(super) fn trusting_only(pem: &[u8]) -> Result<Connector> {
    let certificates =
        Certificate::stack_from_pem(pem).map_err(|_| Error::CaCertificate("it is not PEM text"))?;
    if certificates.is_empty() {
        return Err(Error::CaCertificate("it holds no certificate"));
    }
    let mut builder = TlsConnector::builder();
    builder.disable_built_in_roots(true);
    for certificate in certificates {
        builder.add_root_certificate(certificate);
    }
    Ok(MakeTlsConnector::new(builder.build().map_err(refused)?))
}

/// Whether this is what the library says of a handshake.
pub(crate) fn is_error(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<native_tls::Error>()
}

fn refused(_: native_tls::Error) -> Error {
    Error::CaCertificate("the TLS library refuses it")
}
