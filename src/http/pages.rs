//! The web pages: what Vite built into `playground/dist`, embedded in the binary.
//!
//! Guarantees: a page takes everything it needs from this server and runs no script but its own
//! (Content-Security-Policy); a page is asked for anew each time, while its assets, whose names carry a hash
//! of their content, may be kept for good, and go out compressed to whoever takes that; a binary built without
//! Node says so on the page, and works in all else.

use std::borrow::Cow;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::Embed;

#[derive(Embed)]
#[folder = "playground/dist"]
#[allow_missing = true]
struct Dist;

/// What the dashboard may do: it has its own scripts and styles, and talks to this server. `'self'` covers
/// WebSockets to this host too.
const STRICT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; font-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// What GraphiQL may do. `unsafe-inline` is for styles only: Monaco and GraphiQL set them as they lay
/// themselves out. `data:` is for their fonts and icons, which come inside the style sheet.
const EDITOR_POLICY: &str = "default-src 'self'; script-src 'self'; \
     style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; connect-src 'self'; \
     img-src 'self' data:; font-src 'self' data:; \
     object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const REVALIDATE: &str = "no-cache";
const KEEP_FOR_GOOD: &str = "public, max-age=31536000, immutable";
const NOSNIFF: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");

/// How an asset may be compressed, best first: its name in HTTP, and what the compressed file's name ends with.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

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
    <h1>No web pages in this binary</h1>
    <p>
      It was built without its web pages. To have them, run <code>make playground</code> (it needs Node.js)
      and build again.
    </p>
    <p>GraphQL itself answers at <code>/graphql</code>.</p>
  </body>
</html>
"#;

/// The dashboard's pages, and everything below `/playground`.
pub(crate) fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(dashboard))
        .route("/broadcasts", get(dashboard))
        .route("/broadcasts/{id}", get(dashboard))
        .route("/operations", get(dashboard))
        .route("/playground", get(playground))
        .route("/playground/", get(playground))
        .route("/playground/{*path}", get(asset))
}

/// One page for all of its addresses: it looks at them itself.
async fn dashboard() -> Response {
    page(Dist::get("dashboard.html").map(|file| file.data), STRICT_POLICY)
}

async fn playground() -> Response {
    page(Dist::get("playground.html").map(|file| file.data), EDITOR_POLICY)
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some(file) = Dist::get(&path).filter(|_| is_asset(&path)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let content_type = file.metadata.mimetype();
    let compressed =
        ENCODINGS.iter().filter(|(encoding, _)| takes(&headers, encoding)).find_map(|&(encoding, ending)| {
            let file = Dist::get(&format!("{path}{ending}"))?;
            Some((encoding, file.data))
        });
    match compressed {
        Some((encoding, data)) => {
            let mut response = immutable(content_type, data);
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            response
        }
        None => immutable(content_type, file.data),
    }
}

/// Whether `Accept-Encoding` names the encoding, and not with a weight of nothing.
fn takes(headers: &HeaderMap, encoding: &str) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| {
        let (name, parameters) = one.split_once(';').unwrap_or((one, ""));
        let weight =
            parameters.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case(encoding) && weight.is_none_or(|weight| weight > 0.0)
    })
}

/// One plain name under `assets/`. The pages have addresses of their own, and headers that belong to them; a
/// debug build reads from the disk, where `assets/../` would lead to them.
fn is_asset(path: &str) -> bool {
    let is_compressed = ENCODINGS.iter().any(|(_, ending)| path.ends_with(ending));
    path.strip_prefix("assets/").is_some_and(|name| !name.contains(['/', '\\'])) && !is_compressed
}

fn page(html: Option<Cow<'static, [u8]>>, policy: &'static str) -> Response {
    // What stands in for a page has its style in itself.
    let (html, policy) =
        html.map_or((Cow::Borrowed(NOT_BUILT.as_bytes()), EDITOR_POLICY), |html| (html, policy));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, REVALIDATE),
        (header::CONTENT_SECURITY_POLICY, policy),
        NOSNIFF,
    ];
    (headers, Body::from(html)).into_response()
}

fn immutable(content_type: &str, data: Cow<'static, [u8]>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, KEEP_FOR_GOOD),
        (header::VARY, "accept-encoding"),
        NOSNIFF,
    ];
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
        asset(Path(path.to_owned()), HeaderMap::new()).await
    }

    fn accepting(encodings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(encodings))])
    }

    #[test]
    fn the_routes_do_not_overlap() {
        let _: Router = routes();
    }

    #[tokio::test]
    async fn a_page_is_html_that_is_asked_for_anew_and_runs_no_foreign_script() {
        let response = page(Some(Cow::Borrowed(b"<p>built</p>")), STRICT_POLICY);
        assert_eq!(header_of(&response, &header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(header_of(&response, &header::CACHE_CONTROL), "no-cache");
        assert_eq!(header_of(&response, &header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        let policy = header_of(&response, &header::CONTENT_SECURITY_POLICY);
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(text_of(response).await, "<p>built</p>");
    }

    #[tokio::test]
    async fn without_a_page_the_answer_says_how_to_get_one() {
        let response = page(None, STRICT_POLICY);
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
        for path in Dist::iter().filter(|path| is_asset(path)) {
            let response = asset_at(&path).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_ne!(header_of(&response, &header::CONTENT_TYPE), "application/octet-stream", "{path}");
        }
    }

    #[test]
    fn an_encoding_is_taken_when_it_is_named_with_a_weight() {
        for (header, br, gzip) in [
            ("gzip, deflate, br, zstd", true, true),
            ("gzip", false, true),
            ("GZIP;q=0.5, br;q=0", false, true),
            ("identity, brotli, *", false, false),
            ("", false, false),
        ] {
            let headers = accepting(header);
            assert_eq!((takes(&headers, "br"), takes(&headers, "gzip")), (br, gzip), "{header}");
        }
        assert!(!takes(&HeaderMap::new(), "gzip"));
    }

    #[tokio::test]
    async fn an_asset_goes_out_compressed_and_is_the_same_file() {
        for path in Dist::iter().filter(|path| path.ends_with(".gz")) {
            let path = path.trim_end_matches(".gz");
            let plain = asset_at(path).await;
            assert_eq!(header_of(&plain, &header::CONTENT_ENCODING), "");
            assert_eq!(header_of(&plain, &header::VARY), "accept-encoding");
            for (accepted, encoding) in [("gzip", "gzip"), ("gzip, br", "br")] {
                let response = asset(Path(path.to_owned()), accepting(accepted)).await;
                assert_eq!(header_of(&response, &header::CONTENT_ENCODING), encoding, "{path}");
                assert_eq!(
                    header_of(&response, &header::CONTENT_TYPE),
                    header_of(&plain, &header::CONTENT_TYPE),
                    "{path}"
                );
            }
        }
    }
}
