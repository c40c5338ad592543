//! What stands before replicas: connections go in turn to those that say they are ready, and to the next one where
//! one refuses. It hears of the end of readiness late, as real ones do.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often each replica is asked whether it is ready.
const CHECK: Duration = Duration::from_millis(200);

/// Spreads connections; ends with the value.
#[derive(Debug)]
pub struct Balancer {
    /// Where it listens, as `http://address`.
    pub url: String,
    replicas: Replicas,
    _running: DropGuard,
}

/// Where each replica listens, and whether it was ready when it was asked last.
type Replicas = Arc<Mutex<Vec<(String, bool)>>>;

impl Balancer {
    /// Before the replicas at these addresses (`http://address`), which are ready.
    pub async fn before(replicas: impl IntoIterator<Item = String>) -> Self {
        let replicas: Replicas =
            Arc::new(Mutex::new(replicas.into_iter().map(|replica| (replica, true)).collect()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cancel = CancellationToken::new();
        tokio::spawn(cancel.clone().run_until_cancelled_owned(check(Arc::clone(&replicas))));
        tokio::spawn(cancel.clone().run_until_cancelled_owned(accept(listener, Arc::clone(&replicas))));
        Self { url, replicas, _running: cancel.drop_guard() }
    }

    /// Another replica has taken the place of the `n`th; it gets connections once it says that it is ready.
    pub fn replace(&self, n: usize, replica: &str) {
        self.replicas.lock().unwrap()[n] = (replica.to_owned(), false);
    }

    /// How many are ready, as far as it knows.
    pub fn ready(&self) -> usize {
        self.replicas.lock().unwrap().iter().filter(|(_, ready)| *ready).count()
    }
}

async fn check(replicas: Replicas) {
    // A connection of its own each time, so that it is never one that is about to be closed.
    let http =
        reqwest::Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(2)).build().unwrap();
    loop {
        sleep(CHECK).await;
        let asked: Vec<_> = replicas.lock().unwrap().iter().map(|(url, _)| url.clone()).collect();
        let answers = asked.iter().map(|url| http.get(format!("{url}/readyz")).send());
        let answers = futures::future::join_all(answers).await;
        for (n, (url, answer)) in asked.iter().zip(answers).enumerate() {
            let is_ready = match answer {
                Ok(answer) => answer.status() == 200,
                Err(error) if error.is_connect() => false,
                // Too slow once is not gone.
                Err(_) => continue,
            };
            let mut replicas = replicas.lock().unwrap();
            if replicas[n].0 == *url {
                replicas[n].1 = is_ready;
            }
        }
    }
}

async fn accept(listener: TcpListener, replicas: Replicas) {
    let next = AtomicUsize::new(0);
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let from = next.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(carry(client, from, Arc::clone(&replicas)));
    }
}

/// One connection, to the first that takes it.
async fn carry(mut client: TcpStream, from: usize, replicas: Replicas) {
    let ready: Vec<SocketAddr> = {
        let replicas = replicas.lock().unwrap();
        let ready = replicas.iter().filter(|(_, ready)| *ready);
        ready.map(|(url, _)| url.strip_prefix("http://").unwrap().parse().unwrap()).collect()
    };
    for n in 0..ready.len() {
        if let Ok(mut server) = TcpStream::connect(ready[(from + n) % ready.len()]).await {
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
