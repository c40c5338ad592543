//! Calls over TLS: the root certificates of the machine are trusted and no others, and a machine that has none
//! is no reason not to start.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use crate::support::{TestDb, app::Provider, binary::Server, within};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls/root.pem");
const URL: &str = "http://127.0.0.1:9/webhooks";

/// Puts a certificate of [`ROOT`] before a provider; answers the port, and for each connection whether it was
/// trusted.
async fn behind_tls(provider: &Provider) -> (u16, mpsc::UnboundedReceiver<bool>) {
    let certificate = CertificateDer::from(include_bytes!("support/tls/localhost.der").to_vec());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("support/tls/localhost.pk8").to_vec());
    // The one that makes clients has installed what does the arithmetic.
    besty::app::http_client().unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::from(key))
        .unwrap();
    let (acceptor, to) =
        (TlsAcceptor::from(Arc::new(config)), provider.url.strip_prefix("http://").unwrap().to_owned());
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, to, tell) = (acceptor.clone(), to.clone(), tell.clone());
            tokio::spawn(async move {
                let near = acceptor.accept(near).await;
                let _ = tell.send(near.is_ok());
                let Ok(mut near) = near else { return };
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (port, told)
}

async fn start(port: u16, set: &[(&str, &str)]) -> (TestDb, Server) {
    let (db, set) = (TestDb::sqlite(), [set, &[("PUBLIC_WEBHOOK_URL", URL)]].concat());
    let server = Server::start(&db, &format!("https://localhost:{port}"), &set).await;
    (db, server)
}

#[tokio::test]
async fn a_root_that_is_named_is_trusted() {
    let provider = Provider::quick().await;
    let (port, mut trusted) = behind_tls(&provider).await;
    let (_db, _server) = start(port, &[("SSL_CERT_FILE", ROOT)]).await;
    let there = provider.api.registry().wait_for(|urls| urls.iter().any(|url| url == URL));
    within("the URL to be registered", there).await;
    assert_eq!(trusted.recv().await, Some(true));
}

#[tokio::test]
async fn another_is_not_and_a_machine_that_has_none_starts() {
    let provider = Provider::quick().await;
    let (port, mut trusted) = behind_tls(&provider).await;
    // An empty name is no name; nor is there a certificate.
    let (_db, server) = start(port, &[("SSL_CERT_FILE", "")]).await;
    assert_eq!(within("a connection", trusted.recv()).await, Some(false));
    server.says("those built in are trusted").await;
}
