//! How much may stand in JSON.
//!
//! Of what it does not know, a parser keeps some hundred bytes for each value, and a number in a list takes two in the
//! text. So a file could ask for fifty times its size. What nodes write has more than thirty bytes for each value.

use serde::Deserialize;

use super::input::InputError;

/// The fewest bytes that values have on average, with their names.
const VALUE_BYTES_MIN: usize = 16;

/// So many values may be shorter.
const VALUES_FREE: usize = 10_000;

/// Reads a file.
///
/// # Errors
///
/// [`InputError::Json`] if it is no JSON of this type, or has too many values for its size.
pub(crate) fn parse<'j, T: Deserialize<'j>>(json: &'j [u8]) -> Result<T, InputError> {
    // Before each value but those in strings, which are hex.
    let values = json.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if values > VALUES_FREE + json.len() / VALUE_BYTES_MIN {
        let bytes = json.len();
        return Err(InputError::Json(format!(
            "{values} values in {bytes} bytes: those of a block have more than {VALUE_BYTES_MIN} bytes each"
        )));
    }
    serde_json::from_slice(json).map_err(|error| InputError::json(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_short_values_are_refused_before_they_are_read() {
        let list = |value: &str, count| format!("[{}1]", format!("{value},").repeat(count));
        let read = |json: String| parse::<Vec<u64>>(json.as_bytes()).map(|list| list.len());
        assert_eq!(read(list("1", VALUES_FREE)), Ok(VALUES_FREE + 1));
        assert!(matches!(read(list("1", 2 * VALUES_FREE)), Err(InputError::Json(_))));
        assert_eq!(read(list("               1", 4 * VALUES_FREE)), Ok(4 * VALUES_FREE + 1));
        let nested = "{\"x\":".repeat(2 * VALUES_FREE);
        let error = parse::<Vec<u64>>(nested.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("20000 values in 100000 bytes"), "{error}");
    }
}
