//! Checks what is read again, and where states go.

use super::check::Check;
use super::problem::Place;
use super::{RefreshConfig, SinkConfig, StateConfig};
use bridge_core::outcome::list::What;

impl Check<'_> {
    pub(super) fn state(&mut self, state: &StateConfig, sink: &SinkConfig, root: &Place) {
        let place = root.key("state");
        for (index, name) in state.types.iter().enumerate() {
            if What::alone(name).is_none() {
                let problem = "isn't one of `task`, `project`, `section`, `story`, `attachment`, `goal`";
                self.problem(&place.key("types").item(index), problem);
            }
        }
        if state.longest_wait.0 < state.quiet_time.0 {
            self.problem(&place.key("longestWait"), "must not be below `quietTime`");
        }
        if !(1..=90).contains(&state.budget_percent) {
            self.problem(&place.key("budgetPercent"), "must be between 1 and 90: polls need the rest");
        }
        let sink_place = root.key("sink");
        let kafka = sink.kafka.as_ref().filter(|kafka| kafka.state_topic.is_some());
        let kafka = kafka.map(|_| sink_place.key("kafka").key("stateTopic"));
        let nats = sink.nats.as_ref().filter(|nats| nats.state).map(|_| sink_place.key("nats").key("state"));
        if let Some(place) = kafka.or(nats).filter(|_| state.refresh == RefreshConfig::Off) {
            self.problem(&place, "needs `state.refresh: on`: else states would be old after the next event");
        }
    }
}
