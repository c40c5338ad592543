//! Decimal numbers from their digits, exactly: any number of digits, any exponent.

/// A decimal number: 0.`digits` x 10^`point`, without leading zeros.
pub(super) struct Number<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    point: i64,
}

impl<'a> Number<'a> {
    /// Reads `-12.50`, `+5`, `.5`, `5.`, `1.2e3`; the empty space around it does not count.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, exponent(power)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let mut number = Self {
            negative: text.starts_with('-'),
            whole: whole.as_bytes(),
            fraction: fraction.as_bytes(),
            point: i64::try_from(whole.len()).ok()?.checked_add(power)?,
        };
        number.drop_leading_zeros();
        Some(number)
    }

    fn drop_leading_zeros(&mut self) {
        let zeros = self.digits().take_while(|digit| *digit == 0).count();
        let in_whole = zeros.min(self.whole.len());
        self.whole = &self.whole[in_whole..];
        self.fraction = &self.fraction[zeros - in_whole..];
        self.point = self.point.saturating_sub_unsigned(zeros as u64);
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).map(|digit| digit - b'0')
    }

    /// Its value times 10^`places`, rounded half away from zero; `None` beyond 17 digits.
    pub(super) fn scaled(&self, places: i64) -> Option<i64> {
        if self.digits().next().is_none() {
            return Some(0);
        }
        let Ok(kept) = usize::try_from(self.point.saturating_add(places)) else {
            return Some(0);
        };
        if kept > 17 {
            return None;
        }
        let mut digits = self.digits().chain(std::iter::repeat(0));
        let magnitude = digits.by_ref().take(kept).fold(0, |value, digit| value * 10 + i64::from(digit));
        let rounded = magnitude + i64::from(digits.next() >= Some(5));
        Some(if self.negative { -rounded } else { rounded })
    }

    /// Whether nothing but zeros stands behind the decimal point.
    pub(super) fn is_whole(&self) -> bool {
        let kept = usize::try_from(self.point).unwrap_or(0);
        self.digits().skip(kept).all(|digit| digit == 0)
    }
}

/// An exponent; one too large to matter is as good as the largest that does not overflow.
fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !all_digits(digits) {
        return None;
    }
    let magnitude = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
