//! The webhook URLs that are registered: shared by the Guest API, where they are registered, and the source, which
//! posts to them and throws them out. In the order they came in, each once.

use std::sync::Arc;

use tokio::sync::watch;

/// A shared list of webhook URLs. Clones are the same list.
#[derive(Clone, Debug)]
pub struct Registry {
    urls: Arc<watch::Sender<Vec<String>>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { urls: Arc::new(watch::Sender::new(Vec::new())) }
    }
}

impl Registry {
    /// A list that starts with one URL: for a source without a Guest API.
    #[must_use]
    pub fn fixed(url: impl Into<String>) -> Self {
        let registry = Self::default();
        registry.register(url);
        registry
    }

    /// Adds a URL; one that is there stays where it is.
    pub fn register(&self, url: impl Into<String>) {
        let url = url.into();
        self.urls.send_if_modified(|urls| {
            let new = !urls.contains(&url);
            if new {
                urls.push(url);
            }
            new
        });
    }

    /// Takes a URL out; false when it was not there.
    #[must_use]
    pub fn unregister(&self, url: &str) -> bool {
        self.urls.send_if_modified(|urls| {
            let before = urls.len();
            urls.retain(|known| known != url);
            urls.len() < before
        })
    }

    /// The URLs as they are now.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.urls.borrow().clone()
    }

    /// Whether this URL is registered.
    #[must_use]
    pub fn contains(&self, url: &str) -> bool {
        self.urls.borrow().iter().any(|known| known == url)
    }

    /// Waits until the list is as wished: `wait_for(|urls| urls.is_empty())`.
    pub async fn wait_for(&self, wished: impl FnMut(&Vec<String>) -> bool) {
        // The sender is in `self`: the only error, that it is gone, can't happen.
        let _ = self.urls.subscribe().wait_for(wished).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_is_there_once() {
        let registry = Registry::fixed("http://a");
        registry.register("http://b");
        registry.register("http://a");
        assert_eq!(registry.urls(), ["http://a", "http://b"]);
        assert!(registry.unregister("http://a"));
        assert!(!registry.unregister("http://a"));
        assert!(registry.contains("http://b") && !registry.contains("http://a"));
    }
}
