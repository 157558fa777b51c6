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

/// The events of a stream, counted with each of [`MEMORIES`].
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
        self.observed = (f64::from(self.observed) + elapsed.max(0.0)).min(most) as f32;
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
