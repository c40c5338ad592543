//! Who calls when a proxy is in between: the address that a trusted one says it was called from.
//!
//! `X-Forwarded-For` is a list that each proxy adds to at the end, and that a caller may begin with whatever it
//! likes. So it is read from the end, for as long as it is a trusted proxy that says what comes before.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const HEADER: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that are believed (`TRUSTED_PROXIES`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Addresses and networks, separated by commas; or the one that is neither.
    pub fn parse(list: &str) -> Result<Self, &str> {
        let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| network(part).ok_or(part)).collect::<Result<_, _>>().map(Self)
    }

    /// Who calls, by the other side of the connection and by what came over it.
    pub(super) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let lines = headers.get_all(HEADER).iter().rev();
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        let mut caller = peer.to_canonical();
        while self.trusts(caller)
            && let Some(before) = hops.next().and_then(address)
        {
            caller = before;
        }
        caller
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Of a proxy; some write the port, too.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let address: Option<IpAddr> = bare.or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let headers = lines.iter().map(|line| (HEADER, line.parse().unwrap())).fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        );
        Proxies::parse(trusted).unwrap().caller(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_last_who_is_not_trusted_is_the_caller() {
        const TRUSTED: &str = "10.0.0.0/8, 192.0.2.1,2001:db8::/32";
        for (peer, lines, wanted) in [
            ("192.0.2.1", &["203.0.113.7"][..], "203.0.113.7"),
            ("192.0.2.1", &["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
            ("192.0.2.1", &["198.51.100.1, 203.0.113.7, 10.1.2.3,10.9.9.9"], "203.0.113.7"),
            ("192.0.2.1", &["198.51.100.1", "203.0.113.7", "10.1.2.3"], "203.0.113.7"),
            ("::ffff:192.0.2.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
            ("2001:db8::1", &["2001:db9::7"], "2001:db9::7"),
            ("192.0.2.1", &["203.0.113.7:4711"], "203.0.113.7"),
            ("192.0.2.1", &["[2001:db9::7]:4711"], "2001:db9::7"),
            ("192.0.2.1", &["[2001:db9::7]"], "2001:db9::7"),
            // Nobody else is believed.
            ("192.0.2.2", &["203.0.113.7"], "192.0.2.2"),
            ("11.0.0.1", &["203.0.113.7, 10.0.0.1"], "11.0.0.1"),
            // What says nothing: whoever said it.
            ("192.0.2.1", &[], "192.0.2.1"),
            ("192.0.2.1", &[""], "192.0.2.1"),
            ("192.0.2.1", &["203.0.113.7, unknown"], "192.0.2.1"),
            ("192.0.2.1", &["203.0.113.7, unknown, 10.0.0.1"], "10.0.0.1"),
            ("192.0.2.1", &["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ] {
            assert_eq!(caller(TRUSTED, peer, lines), wanted, "{peer} {lines:?}");
        }
        assert_eq!(caller("", "192.0.2.1", &["203.0.113.7"]), "192.0.2.1");
    }

    #[test]
    fn what_is_neither_address_nor_network_is_refused() {
        for bad in ["proxy", "10.0.0.0/33", "10.0.0.256", "10.0.0.1:80", "*", "10.0.0.0/"] {
            assert_eq!(Proxies::parse(&format!("127.0.0.1,{bad}")), Err(bad));
        }
        assert_eq!(Proxies::parse(" , "), Ok(Proxies::default()));
    }
}
