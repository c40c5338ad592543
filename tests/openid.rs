//! Tokens of an OpenID provider: those that are good, those that are not, and keys that change.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    TestApp, TestDb,
    app::{Provider, answer},
    openid::{AUDIENCE, Key, OpenId, now, signed},
    socket::{self, Socket},
    sse::Sse,
    within,
};

async fn start(db: &TestDb, openid: &OpenId, refetch: Duration) -> (TestApp, Provider) {
    let provider = Provider::quick().await;
    let set = [
        ("OIDC_ISSUER", openid.issuer.as_str()),
        ("OIDC_AUDIENCE", AUDIENCE),
        ("OIDC_ROLE_CLAIM", "/realm_access/roles"),
    ];
    let tune = |config: &mut besty::config::Config| {
        config.access.provider.as_mut().unwrap().refetch = refetch;
        config.access.limits.failures = 1_000;
    };
    (TestApp::start_tuned(db, &provider, &set, tune).await, provider)
}

/// The status of a read, and of a write without a message, which is 400 for whoever may.
async fn statuses(app: &TestApp, token: &str) -> (u16, u16) {
    let read = app.http().get(app.url("/api/reservations")).bearer_auth(token);
    let write = app.http().post(app.url("/api/broadcast")).json(&json!({})).bearer_auth(token);
    (answer(read).await.0, answer(write).await.0)
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[tokio::test]
async fn a_token_is_good_by_its_signature_issuer_audience_time_and_role() {
    let openid = OpenId::start().await;
    let (rsa, ec, ed) = (Key::rsa("rsa"), Key::ec("ec"), Key::ed("ed"));
    openid.publish(&[&rsa, &ec, &ed]);
    let (app, _provider) = start(&TestDb::sqlite(), &openid, Duration::ZERO).await;
    let good = openid.claims("viewer");
    for key in [&rsa, &ec, &ed] {
        assert_eq!(statuses(&app, &key.sign(&good)).await, (200, 403));
        assert_eq!(statuses(&app, &key.sign(&openid.claims("sender"))).await, (200, 400));
        let several = with(good.clone(), "aud", json!(["other", AUDIENCE]));
        assert_eq!(statuses(&app, &key.sign(&several)).await, (200, 403));
    }
    let no_name = rsa.sign_under(&json!({ "alg": "RS256" }), &good);
    assert_eq!(statuses(&app, &no_name).await, (200, 403), "there is one key of this algorithm");
    for none in [openid.claims("root"), without(good.clone(), "realm_access")] {
        assert_eq!(statuses(&app, &ec.sign(&none)).await, (403, 403), "no role of ours");
    }
    let unsigned =
        |algorithm: &str| signed(&json!({ "alg": algorithm, "kid": "rsa" }), &good, |_| Vec::new());
    let (header, rest) = ec.sign(&good).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let admin = ec.sign(&openid.claims("admin"));
    let changed = format!("{header}.{}.{signature}", admin.split('.').nth(1).unwrap());
    for (what, token) in [
        ("malformed", "a.b.c".to_owned()),
        ("no token", "x".to_owned()),
        ("two parts", format!("{header}.x")),
        ("expired", ec.sign(&with(good.clone(), "exp", json!(now() - 1)))),
        ("no exp", ec.sign(&without(good.clone(), "exp"))),
        ("exp as a text", ec.sign(&with(good.clone(), "exp", json!("9999999999")))),
        ("exp beyond all times", ec.sign(&with(good.clone(), "exp", json!(1e300)))),
        ("not yet", ec.sign(&with(good.clone(), "nbf", json!(now() + 600)))),
        ("another issuer", ec.sign(&with(good.clone(), "iss", json!("https://id.example")))),
        ("no issuer", ec.sign(&without(good.clone(), "iss"))),
        ("another audience", ec.sign(&with(good.clone(), "aud", json!("other")))),
        ("no audience", ec.sign(&without(good.clone(), "aud"))),
        ("no subject", ec.sign(&without(good.clone(), "sub"))),
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("no signature", unsigned("RS256")),
        ("HS256 with the public key", rsa.confused(&good)),
        ("HS256 with the public key, as EC", ec.confused(&good)),
        ("another key of the same name", Key::ed("ed").sign(&good)),
        ("another key of the same name, EC", Key::ec("ec").sign(&good)),
        ("a key of another type", ec.sign_under(&json!({ "alg": "ES256", "kid": "rsa" }), &good)),
        ("an algorithm of another key", ed.sign_under(&json!({ "alg": "RS256", "kid": "ed" }), &good)),
        ("RS512", rsa.sign_under(&json!({ "alg": "RS512", "kid": "rsa" }), &good)),
        ("a name nobody has", ec.sign_under(&json!({ "alg": "ES256", "kid": "else" }), &good)),
        ("changed afterwards", changed),
    ] {
        let response = app.http().get(app.url("/api/reservations")).bearer_auth(&token).send().await.unwrap();
        assert_eq!(response.status(), 401, "{what}");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("invalid_token"), "{what}: {challenge}");
        let said = response.text().await.unwrap();
        assert!(!said.contains(&token), "{what}: {said}");
    }
    app.stop().await;
}

#[tokio::test]
async fn keys_are_rotated() {
    let openid = OpenId::start().await;
    let (old, new) = (Key::ec("2025"), Key::ed("2026"));
    openid.publish(&[&old]);
    let (app, _provider) = start(&TestDb::sqlite(), &openid, Duration::ZERO).await;
    let claims = openid.claims("viewer");
    assert_eq!(openid.fetched(), 0, "nobody has asked yet");
    for _ in 0..3 {
        assert_eq!(statuses(&app, &old.sign(&claims)).await.0, 200);
    }
    assert_eq!(openid.fetched(), 1, "keys are kept");
    openid.publish(&[&new]);
    assert_eq!(statuses(&app, &new.sign(&claims)).await.0, 200, "an unknown name has them fetched");
    assert_eq!(openid.fetched(), 2);
    assert_eq!(statuses(&app, &old.sign(&claims)).await.0, 401, "withdrawn");
    app.stop().await;
}

#[tokio::test]
async fn names_made_up_do_not_make_us_ask() {
    let openid = OpenId::start().await;
    let key = Key::ec("ours");
    openid.publish(&[&key]);
    let refetch = besty::access::provider::Settings::REFETCH;
    let (app, _provider) = start(&TestDb::sqlite(), &openid, refetch).await;
    let claims = openid.claims("viewer");
    assert_eq!(statuses(&app, &key.sign(&claims)).await.0, 200);
    let made_up = |n: usize| {
        let token = key.sign_under(&json!({ "alg": "ES256", "kid": format!("made-up-{n}") }), &claims);
        let request = app.http().get(app.url("/api/reservations")).bearer_auth(token);
        async move { answer(request).await.0 }
    };
    let answers = futures::future::join_all((0..50).map(made_up)).await;
    assert_eq!(answers, [401; 50]);
    assert_eq!(openid.fetched(), 1);
    app.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_away_is_no_fault_of_the_token() {
    let openid = OpenId::start().await;
    let key = Key::ec("ours");
    let (app, _provider) = start(&TestDb::sqlite(), &openid, Duration::ZERO).await;
    let token = key.sign(&openid.claims("viewer"));
    let request = app.http().get(app.url("/api/reservations")).bearer_auth(&token);
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    openid.publish(&[&key]);
    assert_eq!(statuses(&app, &token).await.0, 200);
    app.stop().await;
}

#[tokio::test]
async fn what_goes_on_ends_when_the_token_expires() {
    let openid = OpenId::start().await;
    let key = Key::ec("ours");
    openid.publish(&[&key]);
    let (app, _provider) = start(&TestDb::sqlite(), &openid, Duration::ZERO).await;
    let token = key.sign(&with(openid.claims("viewer"), "exp", json!(now() + 4)));
    let mut sockets = Vec::new();
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        sockets.push(Socket::open_as(&app.url(""), protocol, Some(&token)).await);
    }
    let client = app.http().get(app.url("/api/events")).bearer_auth(&token);
    let mut stream = Sse::of(client).await;
    stream.text_until("event: ready").await;
    for socket in &mut sockets {
        let (code, reason) = socket::closed(socket.stream()).await;
        assert_eq!((code, reason.as_str()), (4403, "Forbidden: the token is good no longer"));
    }
    within("the end of the stream", stream.end()).await;
    assert!(now() >= 4 && statuses(&app, &token).await == (401, 401));
    app.stop().await;
}
