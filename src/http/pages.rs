//! The web pages: what Vite built into `playground/dist`, embedded in the binary.
//!
//! Guarantees: a page takes everything it needs from this server and runs no script but its own
//! (Content-Security-Policy); a page is asked for anew each time, while its assets, whose names carry a hash
//! of their content, may be kept for good; a binary built without Node says so on the page, and works in all
//! else.

use std::borrow::Cow;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use rust_embed::Embed;

#[derive(Embed)]
#[folder = "playground/dist"]
#[allow_missing = true]
struct Dist;

/// `unsafe-inline` is for styles only: Monaco and GraphiQL set them as they lay themselves out. `data:` is
/// for their fonts and icons, which come inside the style sheet. `'self'` covers WebSockets to this host too.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; connect-src 'self'; \
     img-src 'self' data:; font-src 'self' data:; \
     object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const REVALIDATE: &str = "no-cache";
const KEEP_FOR_GOOD: &str = "public, max-age=31536000, immutable";
const NOSNIFF: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");

/// Answered in place of a page that is not in the binary.
const NOT_BUILT: &str = r#"<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Besty</title>
    <style>
      body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem; }
    </style>
  </head>
  <body>
    <h1>No playground in this binary</h1>
    <p>
      It was built without its web pages. To have them, run <code>make playground</code> (it needs Node.js)
      and build again.
    </p>
    <p>GraphQL itself answers at <code>/graphql</code>.</p>
  </body>
</html>
"#;

/// `/` and everything below `/playground`.
pub(crate) fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(home))
        .route("/playground", get(playground))
        .route("/playground/", get(playground))
        .route("/playground/{*path}", get(asset))
}

/// Until there is a dashboard, the playground is the first page to see.
async fn home() -> Redirect {
    Redirect::temporary("/playground")
}

async fn playground() -> Response {
    page(Dist::get("playground.html").map(|file| file.data))
}

async fn asset(Path(path): Path<String>) -> Response {
    match Dist::get(&path).filter(|_| is_asset(&path)) {
        Some(file) => immutable(file.metadata.mimetype(), file.data),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// One plain name under `assets/`. The pages have addresses of their own, and headers that belong to them; a
/// debug build reads from the disk, where `assets/../` would lead to them.
fn is_asset(path: &str) -> bool {
    path.strip_prefix("assets/").is_some_and(|name| !name.contains(['/', '\\']))
}

fn page(html: Option<Cow<'static, [u8]>>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, REVALIDATE),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        NOSNIFF,
    ];
    let html = html.unwrap_or(Cow::Borrowed(NOT_BUILT.as_bytes()));
    (headers, Body::from(html)).into_response()
}

fn immutable(content_type: &str, data: Cow<'static, [u8]>) -> Response {
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, KEEP_FOR_GOOD), NOSNIFF];
    (headers, Body::from(data)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of<'a>(response: &'a Response, name: &HeaderName) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    async fn text_of(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.into()).unwrap()
    }

    async fn asset_at(path: &str) -> Response {
        asset(Path(path.to_owned())).await
    }

    #[test]
    fn the_routes_do_not_overlap() {
        let _: Router = routes();
    }

    #[tokio::test]
    async fn home_redirects_to_the_playground() {
        let response = home().await.into_response();
        assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(header_of(&response, &header::LOCATION), "/playground");
    }

    #[tokio::test]
    async fn a_page_is_html_that_is_asked_for_anew_and_runs_no_foreign_script() {
        let response = page(Some(Cow::Borrowed(b"<p>built</p>")));
        assert_eq!(header_of(&response, &header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(header_of(&response, &header::CACHE_CONTROL), "no-cache");
        assert_eq!(header_of(&response, &header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        let policy = header_of(&response, &header::CONTENT_SECURITY_POLICY);
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert_eq!(text_of(response).await, "<p>built</p>");
    }

    #[tokio::test]
    async fn without_a_page_the_answer_says_how_to_get_one() {
        let response = page(None);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(header_of(&response, &header::CACHE_CONTROL), "no-cache");
        let text = text_of(response).await;
        assert!(text.contains("make playground") && text.contains("/graphql"), "{text}");
    }

    #[tokio::test]
    async fn an_asset_may_be_kept_for_good() {
        let response = immutable("text/javascript", Cow::Borrowed(b"1"));
        assert_eq!(header_of(&response, &header::CACHE_CONTROL), "public, max-age=31536000, immutable");
        assert_eq!(header_of(&response, &header::CONTENT_TYPE), "text/javascript");
        assert_eq!(header_of(&response, &header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    }

    #[tokio::test]
    async fn what_is_no_asset_is_not_found() {
        for path in ["assets/unknown.js", "assets/../playground.html", "playground.html", "../Cargo.toml"] {
            assert_eq!(asset_at(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn every_embedded_asset_is_served_with_its_type() {
        for path in Dist::iter().filter(|path| path.starts_with("assets/")) {
            let response = asset_at(&path).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_ne!(header_of(&response, &header::CONTENT_TYPE), "application/octet-stream", "{path}");
        }
    }
}
