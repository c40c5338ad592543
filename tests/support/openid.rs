//! An OpenID provider: its discovery document, its keys, and tokens that it signs.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, extract::State, routing::get};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use besty::clock::Clock;
use ring::{
    hmac,
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What tokens are for.
pub const AUDIENCE: &str = "besty";

/// The provider.
#[derive(Debug)]
pub struct OpenId {
    /// What it calls itself, and where it is.
    pub issuer: String,
    state: Arc<Published>,
}

#[derive(Debug, Default)]
struct Published {
    issuer: Mutex<String>,
    keys: Mutex<Vec<Value>>,
    fetched: AtomicUsize,
}

/// A key with its private part.
pub struct Key {
    id: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl OpenId {
    /// With no key yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realms/besty", listener.local_addr().unwrap());
        let state = Arc::new(Published::default());
        state.issuer.lock().unwrap().clone_from(&issuer);
        let router = Router::new()
            .route("/realms/besty/.well-known/openid-configuration", get(discovery))
            .route("/realms/besty/keys", get(keys))
            .with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, state }
    }

    /// These are its keys from now on.
    pub fn publish(&self, keys: &[&Key]) {
        *self.state.keys.lock().unwrap() = keys.iter().map(|key| key.jwk()).collect();
    }

    /// How often its keys were fetched.
    pub fn fetched(&self) -> usize {
        self.state.fetched.load(Ordering::SeqCst)
    }

    /// What a good token says, which is good for ten minutes.
    pub fn claims(&self, role: &str) -> Value {
        json!({
            "iss": self.issuer, "aud": AUDIENCE, "sub": "user-1", "exp": now() + 600,
            "realm_access": { "roles": ["offline_access", role] },
        })
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    Clock::system().now().timestamp()
}

async fn discovery(State(state): State<Arc<Published>>) -> Json<Value> {
    let issuer = state.issuer.lock().unwrap().clone();
    Json(json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") }))
}

async fn keys(State(state): State<Arc<Published>>) -> Json<Value> {
    state.fetched.fetch_add(1, Ordering::SeqCst);
    Json(json!({ "keys": *state.keys.lock().unwrap() }))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes)
}

impl Key {
    /// The one RSA key there is; it protects nothing.
    pub fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::from_pkcs8(include_bytes!("rsa.pk8")).unwrap();
        Self { id: id.to_owned(), pair: Pair::Rsa(pair) }
    }

    /// A new key for ES256.
    pub fn ec(id: &str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).unwrap();
        Self { id: id.to_owned(), pair: Pair::Ec(pair) }
    }

    /// A new key for EdDSA.
    pub fn ed(id: &str) -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id: id.to_owned(), pair: Pair::Ed(Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap()) }
    }

    /// Its public part.
    pub fn jwk(&self) -> Value {
        let mut key = match &self.pair {
            Pair::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({ "kty": "RSA", "alg": "RS256", "n": encode(public.n), "e": encode(public.e) })
            }
            Pair::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) })
            }
            Pair::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
        };
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        key
    }

    /// A token.
    pub fn sign(&self, claims: &Value) -> String {
        let algorithm = match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        };
        self.sign_under(&json!({ "alg": algorithm, "kid": self.id }), claims)
    }

    /// The same, under any header.
    pub fn sign_under(&self, header: &Value, claims: &Value) -> String {
        let random = SystemRandom::new();
        signed(header, claims, |message| match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }

    /// A token under this key's name that is signed with HS256, the public key taken for a secret.
    pub fn confused(&self, claims: &Value) -> String {
        let public = match &self.pair {
            Pair::Rsa(pair) => pair.public().as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        };
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &public);
        let sign = |message: &[u8]| hmac::sign(&secret, message).as_ref().to_vec();
        signed(&json!({ "alg": "HS256", "kid": self.id }), claims, sign)
    }
}

/// A token with any signature.
pub fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}
