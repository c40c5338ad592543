//! Who calls, asked of every route before its handler: the table says what it takes, the token says what
//! there is. A WebSocket may bring its token later, in `connection_init`.

use std::net::IpAddr;

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::{answer::Refusal, graphql, line::Line};
use crate::access::{
    Access, Caller, Denied, Spend,
    table::{self, Need},
};

/// How long whoever can't be checked is asked to wait, in seconds.
const RETRY_AFTER: u16 = 5;

/// Lets a request through to its handler, which finds the [`Caller`] in the extensions.
pub(super) async fn guard(
    State(access): State<Access>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    let Some((_, methods, need)) = table::route(path.as_str()) else {
        let message = "nobody may call this: it is in no table";
        return Refusal::new(StatusCode::FORBIDDEN, message).into_response();
    };
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    if !methods.contains(method) {
        return not_allowed(methods);
    }
    if matches!(need, Need::Nothing | Need::Secret) {
        return next.run(request).await;
    }
    let headers = request.headers();
    let is_later = *need == Need::Token
        && headers.contains_key(header::UPGRADE)
        && !headers.contains_key(header::AUTHORIZATION);
    if !is_later {
        let (peer, spends) = (peer(&access, request.extensions(), headers), spends(*need, method));
        match admit(&access, bearer(headers), peer, spends, *need).await {
            Ok(caller) => request.extensions_mut().insert(caller),
            Err(denied) => return refuse(headers, *need, denied),
        };
    }
    next.run(request).await
}

async fn admit(
    access: &Access,
    token: Option<&str>,
    peer: Option<IpAddr>,
    spends: &[Spend],
    need: Need,
) -> Result<Caller, Denied> {
    let caller = access.check(token, peer).await?;
    if let Need::Role(role) = need {
        caller.require(role)?;
    }
    spends.iter().try_for_each(|spend| access.spend(&caller, *spend))?;
    Ok(caller)
}

/// What a request is counted as. Of GraphQL, the operation says more.
fn spends(need: Need, method: &Method) -> &'static [Spend] {
    match need {
        Need::Role(_) if *method == Method::POST => &[Spend::Request, Spend::Mutation],
        _ => &[Spend::Request],
    }
}

/// Where a request comes from.
pub(super) fn peer(access: &Access, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<Line>>().and_then(|ConnectInfo(line)| line.peer());
    peer.map(|peer| access.address(peer, headers))
}

/// The token of `Authorization`; another scheme is none of ours.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    parse_bearer(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}

/// The token in `Bearer ...`. RFC 6750, 2.1; the scheme may be written in any case (RFC 9110, 11.1).
pub(super) fn parse_bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Says no in the words of the route's clients.
fn refuse(headers: &HeaderMap, need: Need, denied: Denied) -> Response {
    let refusal = refusal(denied);
    let mut response = match need {
        Need::Token => graphql::refuse(headers, refusal),
        Need::Nothing | Need::Secret | Need::Role(_) => refusal.into_response(),
    };
    if let Some(challenge) = challenge(denied) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// The same, of REST.
pub(super) fn refusal(denied: Denied) -> Refusal {
    let said = denied.to_string();
    match denied {
        Denied::Missing | Denied::Invalid(_) => Refusal::new(StatusCode::UNAUTHORIZED, said),
        Denied::Forbidden { .. } | Denied::NoRole => Refusal::new(StatusCode::FORBIDDEN, said),
        Denied::Limited { seconds } => Refusal::limited(said, seconds),
        Denied::Unavailable => Refusal::unavailable(said, RETRY_AFTER),
    }
}

fn not_allowed(methods: &[Method]) -> Response {
    let head = methods.contains(&Method::GET).then_some("HEAD");
    let allowed: Vec<_> = methods.iter().map(Method::as_str).chain(head).collect();
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allowed.join(","))]).into_response()
}

/// RFC 6750, 3.
fn challenge(denied: Denied) -> Option<&'static str> {
    match denied {
        Denied::Missing => Some(r#"Bearer realm="besty""#),
        Denied::Invalid(_) => Some(r#"Bearer realm="besty", error="invalid_token""#),
        Denied::Forbidden { .. } | Denied::NoRole => {
            Some(r#"Bearer realm="besty", error="insufficient_scope""#)
        }
        Denied::Limited { .. } | Denied::Unavailable => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_comes_after_bearer() {
        for (text, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("  BEARER   abc ", Some("abc")),
            ("Bearer", None),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(parse_bearer(text), token, "{text:?}");
        }
    }

    /// Every path in the code is in the table, and the other way round.
    #[test]
    fn every_route_is_in_the_table() {
        let code = [include_str!("mod.rs"), include_str!("pages.rs")].concat();
        let mut routes: Vec<_> =
            code.split(".route(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
        let mut known: Vec<_> = table::ROUTES.iter().map(|(path, _, _)| *path).collect();
        routes.sort_unstable();
        known.sort_unstable();
        assert_eq!(routes, known);
    }
}
