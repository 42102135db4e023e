//! By OpenSSL. native-tls would do, but that it reads all of the system's certificates before it is told to trust another
//! one, which is most of what a function's first invocation would cost.

use openssl::error::ErrorStack;
use openssl::ssl::{self, SslConnector, SslConnectorBuilder, SslMethod, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use postgres_openssl::MakeTlsConnector;

use crate::error::{Error, Result};

pub(crate) type Connector = MakeTlsConnector;

pub(super) fn trusting_the_system() -> Result<Connector> {
    let mut builder = builder().map_err(refused)?;
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
    let certificates =
        X509::stack_from_pem(pem).map_err(|_| Error::CaCertificate("it is not PEM text"))?;
    if certificates.is_empty() {
        return Err(Error::CaCertificate("it holds no certificate"));
    }
    let mut builder = builder().map_err(refused)?;
    builder.set_cert_store(store(certificates).map_err(refused)?);
    Ok(MakeTlsConnector::new(builder.build()))
}

/// Whether this is what the library says of a handshake.
pub(crate) fn is_error(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<ssl::Error>() || error.is::<ErrorStack>()
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

fn refused(_: ErrorStack) -> Error {
    Error::CaCertificate("the TLS library refuses it")
}
