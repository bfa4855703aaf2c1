//! The two averages in use: the median for times, the geometric mean for
//! ratios.

/// The middle value; of an even number, the mean of the middle two. `None` of
/// nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[sorted.len() / 2 - 1], upper))
}

/// The mean of ratios, in which 2 and 1/2 cancel out. `None` of nothing.
pub fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let count = u32::try_from(ratios.len()).ok().filter(|count| *count > 0)?;
    let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    Some((logarithms / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn ratios_cancel_out() {
        assert_eq!(geometric_mean(&[]), None);
        let mean = geometric_mean(&[2.0, 0.5, 1.0]).expect("three ratios");
        assert!((mean - 1.0).abs() < 1e-12);
    }
}
