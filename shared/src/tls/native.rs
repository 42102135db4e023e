//! By the system's own TLS.

use native_tls::{Certificate, TlsConnector};
use postgres_native_tls::MakeTlsConnector;

use super::{EMPTY, NOT_PEM, REFUSED};
use crate::error::Result;

pub(crate) type Connector = MakeTlsConnector;

pub(super) fn trusting_the_system() -> Result<Connector> {
    let connector = TlsConnector::new().map_err(|_| REFUSED)?;
    Ok(MakeTlsConnector::new(connector))
}

pub(super) fn trusting_only(pem: &[u8]) -> Result<Connector> {
    let certificates = Certificate::stack_from_pem(pem).map_err(|_| NOT_PEM)?;
    if certificates.is_empty() {
        return Err(EMPTY);
    }
    let mut builder = TlsConnector::builder();
    builder.disable_built_in_roots(true);
    for certificate in certificates {
        builder.add_root_certificate(certificate);
    }
    let connector = builder.build().map_err(|_| REFUSED)?;
    Ok(MakeTlsConnector::new(connector))
}
