//! Who a guest is: an invented person, the same one for the same id each time.
//!
//! Nobody real: addresses are in the domains kept for examples, telephone numbers under the unassigned area code 555.

use serde_json::{Value, json};

/// Names as people write them, and as they look in an address.
const FIRST: [(&str, &str); 32] = [
    ("Aaliyah", "aaliyah"),
    ("Aarav", "aarav"),
    ("Amélie", "amelie"),
    ("Ana", "ana"),
    ("Björn", "bjorn"),
    ("Camila", "camila"),
    ("Chidi", "chidi"),
    ("Daniel", "daniel"),
    ("Elif", "elif"),
    ("Emma", "emma"),
    ("Fatima", "fatima"),
    ("Giulia", "giulia"),
    ("Hana", "hana"),
    ("Hassan", "hassan"),
    ("Ingrid", "ingrid"),
    ("Jamal", "jamal"),
    ("José", "jose"),
    ("Kofi", "kofi"),
    ("Leilani", "leilani"),
    ("Liam", "liam"),
    ("Łucja", "lucja"),
    ("Mateo", "mateo"),
    ("Mei", "mei"),
    ("Naomi", "naomi"),
    ("Olga", "olga"),
    ("Priya", "priya"),
    ("Rosa", "rosa"),
    ("Siobhán", "siobhan"),
    ("Tamar", "tamar"),
    ("Thanh", "thanh"),
    ("Yusuf", "yusuf"),
    ("Zoë", "zoe"),
];

const LAST: [(&str, &str); 31] = [
    ("Abdullah", "abdullah"),
    ("Adeyemi", "adeyemi"),
    ("Ahmed", "ahmed"),
    ("Andersson", "andersson"),
    ("Bianchi", "bianchi"),
    ("Chen", "chen"),
    ("Cohen", "cohen"),
    ("Demir", "demir"),
    ("Dubois", "dubois"),
    ("Fernández", "fernandez"),
    ("García", "garcia"),
    ("Gupta", "gupta"),
    ("Haddad", "haddad"),
    ("Ivanova", "ivanova"),
    ("Johnson", "johnson"),
    ("Kaplan", "kaplan"),
    ("Kim", "kim"),
    ("Kowalski", "kowalski"),
    ("Mensah", "mensah"),
    ("Müller", "muller"),
    ("Nakamura", "nakamura"),
    ("Nguyen", "nguyen"),
    ("O'Connor", "oconnor"),
    ("Okafor", "okafor"),
    ("Papadopoulos", "papadopoulos"),
    ("Patel", "patel"),
    ("Santos", "santos"),
    ("Silva", "silva"),
    ("Smith", "smith"),
    ("van Dijk", "vandijk"),
    ("Williams", "williams"),
];

/// The number in `guest_<digits>`; anything else is nobody.
pub(super) fn number(id: &str) -> Option<u64> {
    let digits = id.strip_prefix("guest_")?;
    let plausible = (1..=12).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plausible { digits.parse().ok() } else { None }
}

/// The guest of this id as the API answers it, or `None` for an id that is nobody's.
pub(super) fn guest(id: &str, snake_case: bool) -> Option<Value> {
    let number = number(id)?;
    let (first, first_plain) = FIRST[spread(number, 1, FIRST.len())];
    let (last, last_plain) = LAST[spread(number, 2, LAST.len())];
    let domain = ["example.com", "example.org"][spread(number, 3, 2)];
    let email = format!("{first_plain}.{last_plain}.{number}@{domain}");
    let phone = format!("+1-555-{:03}-01{:02}", 200 + spread(number, 4, 800), spread(number, 5, 100));
    Some(if snake_case {
        json!({"id": id, "first_name": first, "last_name": last, "email": email, "phone": phone})
    } else {
        json!({"id": id, "firstName": first, "lastName": last, "email": email, "phone": phone})
    })
}

/// A number below `len` that looks drawn by chance and is always the same (the finalizer of `SplitMix64`).
fn spread(number: u64, salt: u64, len: usize) -> usize {
    let mut mixed = number.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    usize::try_from(mixed % (len as u64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_id_is_the_same_person_in_both_spellings() {
        let camel = guest("guest_012", false).unwrap();
        let snake = guest("guest_012", true).unwrap();
        assert_eq!(camel, guest("guest_012", false).unwrap());
        assert_eq!(camel["id"], "guest_012");
        assert_eq!(camel["firstName"], snake["first_name"]);
        assert_eq!(camel["lastName"], snake["last_name"]);
        assert_eq!(camel["phone"], snake["phone"]);
    }

    #[test]
    fn guests_differ_and_none_is_real() {
        let guests: Vec<_> = (1..=200).filter_map(|n| guest(&format!("guest_{n:03}"), false)).collect();
        let names: HashSet<_> =
            guests.iter().map(|g| format!("{} {}", g["firstName"], g["lastName"])).collect();
        assert!(names.len() > 160, "{} names for 200 guests", names.len());
        for guest in &guests {
            let email = guest["email"].as_str().unwrap();
            assert!(email.is_ascii() && (email.ends_with("@example.com") || email.ends_with("@example.org")));
            assert!(guest["phone"].as_str().unwrap().starts_with("+1-555-"));
        }
    }

    #[test]
    fn what_does_not_look_like_a_guest_is_nobody() {
        for id in
            ["", "guest_", "guest_x", "guest_1x", "Guest_1", "res_00001", "guest_-1", "guest_1234567890123"]
        {
            assert_eq!(guest(id, false), None, "{id}");
        }
    }
}
