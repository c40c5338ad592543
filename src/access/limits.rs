//! How much one client may ask for: token buckets, by governor, of which one is kept for each client.
//!
//! A client is a token, or an address where nobody has one (of IPv6 the network, since each has addresses
//! without end). Where no access is configured, whoever sits at this machine is left alone: there the limit
//! is the machine. Failed logins are counted by address, and so are webhooks with a wrong secret; only they are
//! refused for it: what is good is never shut out by a neighbour's bad guess.
//!
//! Waiting is by governor's own clock, which nobody sets.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
};

/// How many seconds' worth of requests may come at once.
const BURST_SECONDS: u32 = 2;

/// What the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Requests a second for each client (`MAX_REQUESTS_PER_SECOND`).
    pub requests: u32,
    /// Mutations a minute for each client (`MAX_MUTATIONS_PER_MINUTE`).
    pub mutations: u32,
    /// Bad tokens a minute from each address, and as many wrong webhook secrets. Not configured; tests bring more.
    pub failures: u32,
}

impl Settings {
    /// Those that the server lets pass.
    pub const FAILURES: u32 = 20;
}

/// Whose bucket it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// Nobody's: not counted.
    Free,
    /// Whoever has this token.
    Token(String),
    /// Whoever comes from there.
    Address(IpAddr),
}

impl Client {
    /// Somebody without a token.
    #[must_use]
    pub fn at(peer: Option<IpAddr>) -> Self {
        match peer.map(|peer| peer.to_canonical()) {
            Some(peer) if !peer.is_loopback() => Self::Address(network(peer)),
            Some(_) | None => Self::Free,
        }
    }
}

/// The first half of an IPv6 address; IPv4 as it is.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spend {
    /// A request, or an operation on a WebSocket.
    Request,
    /// Something that is done.
    Mutation,
}

/// What was guessed at, and wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// A token.
    Token,
    /// The secret of a webhook.
    Secret,
}

/// The buckets.
#[derive(Debug)]
pub struct Limits {
    requests: DefaultKeyedRateLimiter<Client>,
    mutations: DefaultKeyedRateLimiter<Client>,
    failures: [DefaultKeyedRateLimiter<IpAddr>; 2],
}

impl Limits {
    /// All full.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let burst = at_least_one(settings.requests.saturating_mul(BURST_SECONDS));
        let failures = Quota::per_minute(at_least_one(settings.failures));
        let requests = Quota::per_second(at_least_one(settings.requests)).allow_burst(burst);
        Self {
            requests: RateLimiter::keyed(requests),
            mutations: RateLimiter::keyed(Quota::per_minute(at_least_one(settings.mutations))),
            failures: [(); 2].map(|()| RateLimiter::keyed(failures)),
        }
    }

    /// Takes one out of a client's bucket; or how many seconds until there is one.
    pub fn spend(&self, client: &Client, what: Spend) -> Result<(), u16> {
        let bucket = match what {
            _ if *client == Client::Free => return Ok(()),
            Spend::Request => &self.requests,
            Spend::Mutation => &self.mutations,
        };
        bucket.check_key(client).map_err(|until| seconds(until.wait_time_from(DefaultClock::default().now())))
    }

    /// Notes a wrong guess; or how many seconds until there may be another.
    pub fn fail(&self, guess: Guess, peer: Option<IpAddr>) -> Result<(), u16> {
        let Some(peer) = peer.map(|peer| network(peer.to_canonical())) else { return Ok(()) };
        self.failures[guess as usize]
            .check_key(&peer)
            .map_err(|until| seconds(until.wait_time_from(DefaultClock::default().now())))
    }

    /// Forgets whoever has a full bucket again.
    pub fn tidy(&self) {
        self.requests.retain_recent();
        self.mutations.retain_recent();
        self.failures.iter().for_each(RateLimiter::retain_recent);
    }
}

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

/// Whole seconds, one at least: as `Retry-After` has them.
fn seconds(wait: Duration) -> u16 {
    let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u16::try_from(whole.max(1)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests: u32, mutations: u32) -> Limits {
        Limits::new(Settings { requests, mutations, failures: Settings::FAILURES })
    }

    fn taken(count: usize, mut spend: impl FnMut() -> Result<(), u16>) -> usize {
        (0..count).filter(|_| spend().is_ok()).count()
    }

    #[test]
    fn each_client_has_a_bucket_of_its_own() {
        let limits = limits(1, 2);
        let desk = Client::Token("desk".to_owned());
        let far = Client::at(Some("192.0.2.1".parse().unwrap()));
        for client in [&desk, &far] {
            assert_eq!(taken(10, || limits.spend(client, Spend::Mutation)), 2);
            assert_eq!(taken(10, || limits.spend(client, Spend::Request)), 2, "of their own kind");
        }
        let wait = limits.spend(&desk, Spend::Mutation).unwrap_err();
        assert!((29..=30).contains(&wait), "{wait}");
        for free in [None, Some("127.0.0.1"), Some("::1"), Some("::ffff:127.0.0.1")] {
            let free = Client::at(free.map(|address| address.parse().unwrap()));
            assert_eq!(taken(1_000, || limits.spend(&free, Spend::Request)), 1_000);
        }
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let at = |text: &str| Client::at(Some(text.parse().unwrap()));
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    #[test]
    fn wrong_guesses_are_counted_by_address_on_this_machine_too() {
        let limits = limits(1, 1);
        for address in ["127.0.0.1", "192.0.2.1"] {
            let peer = Some(address.parse().unwrap());
            for guess in [Guess::Token, Guess::Secret] {
                assert_eq!(taken(100, || limits.fail(guess, peer)), 20);
                assert!((1..=3).contains(&limits.fail(guess, peer).unwrap_err()));
            }
        }
        limits.tidy();
        assert_eq!(limits.failures.each_ref().map(RateLimiter::len), [2, 2], "they are not forgotten yet");
    }
}
