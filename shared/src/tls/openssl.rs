//! By OpenSSL. native-tls would do, but that it reads all of the system's certificates before it is told to trust
//! another one, which is most of what a function's first invocation costs.

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use postgres_openssl::MakeTlsConnector;

use super::{EMPTY, NOT_PEM, REFUSED};
use crate::error::Result;

pub(crate) type Connector = MakeTlsConnector;

pub(super) fn trusting_the_system() -> Result<Connector> {
    let mut builder = builder().map_err(|_| REFUSED)?;
    let found = openssl_probe::probe();
    // what cannot be read is not trusted, and the handshake says so
    if let Some(file) = &found.cert_file {
        let _ = builder.load_verify_locations(Some(file), None);
    }
    for folder in &found.cert_dir {
        let _ = builder.load_verify_locations(None, Some(folder));
    }
    Ok(MakeTlsConnector::new(builder.build()))
}

pub(super) fn trusting_only(pem: &[u8]) -> Result<Connector> {
    let certificates = X509::stack_from_pem(pem).map_err(|_| NOT_PEM)?;
    if certificates.is_empty() {
        return Err(EMPTY);
    }
    let mut builder = builder().map_err(|_| REFUSED)?;
    builder.set_cert_store(store(certificates).map_err(|_| REFUSED)?);
    Ok(MakeTlsConnector::new(builder.build()))
}

/// Verifies chain and host name.
fn builder() -> Result<SslConnectorBuilder, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    Ok(builder)
}

fn store(certificates: Vec<X509>) -> Result<X509Store, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for certificate in certificates {
        store.add_cert(certificate)?;
    }
    Ok(store.build())
}
