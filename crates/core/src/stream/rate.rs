//! How often a stream has events, as far as its polls have shown.
//!
//! Streams have bursts, office hours and months of silence, so one average doesn't do. Events are counted with
//! three memories, each of which forgets exponentially: minutes, hours and days. Each shorter memory is drawn to the next
//! longer one, and the longest to the mean of all streams, as if some events had been seen at that rate before (a gamma
//! prior). So a stream without history is as its account's others are, a quiet one isn't taken for dead, and a burst
//! counts while it lasts.

/// The memories, in seconds: after this time, an event counts `1/e`.
const MEMORIES: [f64; 3] = [86_400.0, 3_600.0, 300.0];
/// How many events each memory's prior weighs: the mean of all streams says little of one stream, a stream's own
/// longer memory says more.
const PRIOR_EVENTS: [f64; 3] = [0.5, 1.5, 1.5];

/// The events of a stream, counted with memories of a day, an hour and five minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EventRate {
    /// For how long the stream was observed, in seconds; beyond some of the longest memories it doesn't grow.
    pub observed: f32,
    /// The longest memory first.
    pub counts: [f32; 3],
}

/// What is expected of a stream from a poll on, in events a second: what each memory says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlook([f64; 3]);

impl EventRate {
    /// A poll returned these events, by their ages in seconds; the poll before was so many seconds earlier.
    #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than is known of a rate")]
    pub fn observe(&mut self, elapsed: f64, ages: impl IntoIterator<Item = f64>) {
        // A clock that was set back says nothing.
        let elapsed = elapsed.max(0.0);
        let mut counts = self.counts.map(f64::from);
        for (count, memory) in counts.iter_mut().zip(MEMORIES) {
            *count *= (-elapsed / memory).exp();
        }
        for age in ages {
            for (count, memory) in counts.iter_mut().zip(MEMORIES) {
                *count += (-age.max(0.0) / memory).exp();
            }
        }
        self.counts = counts.map(|count| count as f32);
        let most = MEMORIES.iter().sum::<f64>() * 10.0;
        self.observed = (f64::from(self.observed) + elapsed).min(most) as f32;
    }

    /// What is expected, if the mean rate of all streams is `mean`, in events a second.
    pub(crate) fn outlook(&self, mean: f64) -> Outlook {
        let mut prior = mean;
        let mut rates = [0.0; 3];
        let of = rates.iter_mut().zip(self.counts).zip(MEMORIES).zip(PRIOR_EVENTS);
        for (((rate, count), memory), events) in of {
            let time = memory * -(-f64::from(self.observed) / memory).exp_m1();
            prior = (f64::from(count) + events) / (time + events / prior);
            *rate = prior;
        }
        Outlook(rates)
    }
}

impl Outlook {
    /// The constant rate that would cost as much delay up to an interval, in seconds: with a rate `r(t)`, polling after
    /// `T` is worth `∫ t·r(t) dt` of saved delay, and with a constant one `r·T²/2`. What a shorter memory says beyond a
    /// longer one fades with it.
    pub(crate) fn weight(&self, interval: f64) -> f64 {
        let Self([long, middle, short]) = *self;
        // Close to 2·(1 − e⁻ˣ·(1 + x)) / x², and the same where x is small and where it is large.
        let fades = |memory: f64| {
            let x = interval / memory;
            1.0 / (1.0 + x * (2.0 / 3.0 + x / 2.0))
        };
        let [_, hours, minutes] = MEMORIES;
        long + (middle - long) * fades(hours) + (short - middle) * fades(minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Polled every `interval` seconds for so long, with an event every `every` seconds.
    fn steady(interval: u32, every: u32, length: u32) -> EventRate {
        let mut rate = EventRate::default();
        for poll in 1..=length / interval {
            let (from, to) = ((poll - 1) * interval, poll * interval);
            let events = (from + 1..=to).filter(|second| second % every == 0);
            rate.observe(interval.into(), events.map(|second| f64::from(to - second)));
        }
        rate
    }

    fn weight(rate: &EventRate, interval: f64) -> f64 {
        rate.outlook(0.01).weight(interval)
    }

    #[test]
    fn a_steady_rate_is_found_however_often_it_is_polled() {
        for interval in [5, 60, 600] {
            for every in [2, 20, 200] {
                let found = weight(&steady(interval, every, 36_000), interval.into()) * f64::from(every);
                assert!((0.75..1.3).contains(&found), "{interval} {every}: {found}");
            }
        }
    }

    #[test]
    fn a_stream_without_history_is_as_all_are() {
        assert!((weight(&EventRate::default(), 60.0) - 0.01).abs() < 1e-9);
    }

    #[test]
    fn a_burst_counts_while_it_lasts_and_less_for_a_long_interval() {
        let mut rate = steady(60, 600, 36_000);
        let before = weight(&rate, 60.0);
        rate.observe(60.0, (0..60).map(f64::from));
        let (soon, late) = (weight(&rate, 10.0), weight(&rate, 3600.0));
        assert!(soon > 20.0 * before && late < soon / 10.0, "{before} {soon} {late}");
        rate.observe(3.0 * 3600.0, []);
        let after = weight(&rate, 60.0);
        assert!(after < 3.0 * before, "{before} {after}");
    }

    #[test]
    fn silence_of_months_counts_and_a_wrong_clock_does_no_harm() {
        let mut rate = steady(60, 60, 36_000);
        rate.observe(90.0 * 86_400.0, []);
        assert!(weight(&rate, 60.0) < 1e-4);
        rate.observe(-1e9, [-86_400.0]);
        assert!(weight(&rate, 60.0) < 1.0);
    }
}
