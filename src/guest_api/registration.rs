//! Keeps our webhook URL registered with the provider, which drops it without notice.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    client::Outcome,
    door::{Door, Lane},
};

/// How often the provider's list is read.
const CHECK: Duration = Duration::from_secs(15);
/// How long to wait after an attempt that failed.
const RETRY: Duration = Duration::from_secs(3);

/// Registers `url` and looks every 15 s whether it still is, until cancelled. Calls are made by the
/// process that holds the lease.
pub async fn keep(door: Door, url: String, cancel: CancellationToken) {
    let work = async {
        let mut known = false;
        loop {
            let pause = match is_registered(&door, &url).await {
                Some(true) => {
                    if !known {
                        tracing::info!("the webhook URL is registered with the Guest API");
                    }
                    known = true;
                    CHECK
                }
                Some(false) => {
                    if known {
                        tracing::warn!(
                            "the webhook URL was dropped by the Guest API; events may have been missed"
                        );
                    }
                    known = false;
                    if register(&door, &url).await { Duration::ZERO } else { RETRY }
                }
                None => RETRY,
            };
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = work => {}
    }
}

async fn is_registered(door: &Door, url: &str) -> Option<bool> {
    match door.call(Lane::Registration, |api| async move { api.registered().await }).await {
        Outcome::Done(urls) => Some(urls.iter().any(|registered| registered == url)),
        other => {
            tracing::debug!(?other, "the list of registered webhooks can't be read");
            None
        }
    }
}

async fn register(door: &Door, url: &str) -> bool {
    let url = url.to_owned();
    match door.call(Lane::Registration, |api| async move { api.register(&url).await }).await {
        Outcome::Done(answer) if (200..300).contains(&answer.status) => true,
        other => {
            tracing::warn!(?other, "the webhook URL could not be registered; trying again");
            false
        }
    }
}
