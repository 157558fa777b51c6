//! The least mean delay that known rates allow.

/// The mean delay until the poll, with intervals of `1/√rate`, bounded, that take so many requests a second.
pub(crate) fn mean_delay(rates: &[f64], requests: f64, shortest: f64, longest: f64) -> f64 {
    let interval = |scale: f64, rate: f64| (scale / rate.sqrt()).clamp(shortest, longest);
    let (mut low, mut high) = (1e-9_f64, 1e9_f64);
    for _ in 0..80 {
        let scale = (low * high).sqrt();
        let taken: f64 = rates.iter().map(|rate| 1.0 / interval(scale, *rate)).sum();
        if taken > requests { low = scale } else { high = scale }
    }
    let waiting: f64 = rates.iter().map(|rate| rate * interval(high, *rate) / 2.0).sum();
    waiting / rates.iter().sum::<f64>()
}
