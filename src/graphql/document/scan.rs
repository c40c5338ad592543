//! The text of a document, read off once before a parser that recurses sees it: its size, its tokens, and
//! how deep its brackets are nested.

/// Bytes of a document.
pub const TEXT_MAX: usize = 128 * 1024;
/// Tokens of a document.
pub(super) const TOKENS_MAX: usize = 10_000;
/// Brackets within brackets.
const NESTING_MAX: usize = 64;

/// Reads the text off: size, tokens, nesting. Strings and comments are told apart as the parser does
/// it, so that no bracket hides in one.
pub(super) fn scan(text: &str) -> Result<(), String> {
    if text.len() > TEXT_MAX {
        return Err(format!("query: the document is longer than {TEXT_MAX} bytes"));
    }
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut depth) = (0, 0_usize, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        let length = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += until_line_end(&bytes[at..]);
                continue;
            }
            b'"' => string(&bytes[at..]).ok_or("query: a string has no end")?,
            b'{' | b'[' | b'(' => {
                depth += 1;
                1
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                1
            }
            _ if is_word(byte) => bytes[at..].iter().take_while(|byte| is_word(**byte)).count(),
            _ => 1,
        };
        at += length;
        tokens += 1;
        if tokens > TOKENS_MAX {
            return Err(format!("query: the document has more than {TOKENS_MAX} tokens"));
        }
        if depth > NESTING_MAX {
            return Err(format!("query: the document is nested more than {NESTING_MAX} deep"));
        }
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn until_line_end(rest: &[u8]) -> usize {
    rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len())
}

/// The length of the string that `rest` starts with, none if it does not end.
fn string(rest: &[u8]) -> Option<usize> {
    if rest.starts_with(br#"""""#) {
        let mut at = 3;
        while at < rest.len() {
            match &rest[at..] {
                [b'"', b'"', b'"', ..] => return Some(at + 3),
                [b'\\', b'"', b'"', b'"', ..] => at += 4,
                _ => at += 1,
            }
        }
        return None;
    }
    let mut at = 1;
    loop {
        match rest.get(at)? {
            b'"' => return Some(at + 1),
            b'\n' | b'\r' => return None,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
