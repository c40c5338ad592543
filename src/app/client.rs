//! The HTTP client that everything of the server calls others with, and whom it trusts.
//!
//! Trusted are the root certificates of this machine, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. A
//! machine may have none, such as an image with nothing but the binary: then it is Mozilla's, which are built in.

use std::time::Duration;

use anyhow::Context as _;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// What name others than the usual certificates, as OpenSSL has it.
const NAMES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// An HTTP client as the app uses it: no redirects, which would turn a POST into a GET.
pub fn http_client() -> anyhow::Result<reqwest::Client> {
    // Fails when a provider is installed already, which then is the one.
    let _ = ring::default_provider().install_default();
    let mut tls = ClientConfig::builder().with_root_certificates(roots()?).with_no_client_auth();
    tls.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .build()
        .context("the HTTP client can't be made")
}

fn roots() -> anyhow::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A machine may have some that are of no use, which is no reason to trust none of the others.
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    // Whoever names some means those, and no others.
    if NAMES.into_iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        let why: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
        anyhow::bail!("{}: there is no certificate{why}", NAMES.join(", "));
    }
    tracing::info!("this machine has no root certificates; those built in are trusted");
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    Ok(roots)
}
