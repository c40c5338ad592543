//! Which pages may open a WebSocket. Browsers do not apply CORS to them; they send `Origin`, and the
//! server decides.

use axum::http::{HeaderMap, header};

/// Whether the request comes from a page of ours, of an origin that was named, or from no page.
pub(super) fn is_allowed(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str().map(str::to_ascii_lowercase) else {
        return false;
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_ascii_lowercase);
    let own = origin.split_once("://").map(|(_, authority)| authority);
    (own.is_some() && own == host.as_deref()) || origins.contains(&origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: Option<&str>, origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "Besty.example:3000".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_allowed(&headers, &origins.iter().map(|origin| (*origin).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn our_own_pages_and_programs_may() {
        assert!(allowed(None, &[]));
        assert!(allowed(Some("http://besty.example:3000"), &[]));
    }

    #[test]
    fn other_pages_may_when_named() {
        let app = "https://app.example.com";
        assert!(!allowed(Some(app), &[]));
        assert!(allowed(Some(app), &[app]));
        assert!(allowed(Some("HTTPS://App.Example.Com"), &[app]));
        assert!(!allowed(Some("http://app.example.com"), &[app]), "another scheme is another origin");
        assert!(!allowed(Some("http://besty.example"), &[]), "another port is another origin");
        assert!(!allowed(Some("null"), &[app]));
    }
}
