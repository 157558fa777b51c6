//! Vectors of a reader that follows streams instead of lanes.

use super::Vector;
use super::records::{At, at, event, gap, healed, of_lane, placed};
use bridge_consumer::detect::Start;
use bridge_contract::pb::{self, record::Body};

/// A stream's records are spread over lanes.
pub(super) fn streams() -> Vec<Vector> {
    vec![
        Vector::by_stream(
            "optional/stream-in-order",
            "A stream's records over three lanes, with a source gap that is in each of them. Records of the lane aren't followed.",
            [
                of_lane(at(0), 1, Body::EpochStart(pb::EpochStart::default())),
                placed(at(0), 2, "main/1200", 1, event()),
                placed(at(2), 7, "main/1200", 2, event()),
                gap(at(0), 3, 10),
                gap(at(1), 4, 10),
                gap(at(2), 5, 10),
                placed(at(1), 5, "other/9", 1, event()),
                healed(at(0), 6),
                healed(at(1), 7),
                healed(at(2), 8),
            ],
        ),
        Vector::by_stream(
            "optional/stream-missing",
            "Missing, late, double; two streams. An epoch's end isn't known by stream.",
            [
                placed(at(0), 1, "main/1200", 2, event()),
                placed(at(1), 1, "main/77", 1, event()),
                placed(at(2), 1, "main/1200", 1, event()),
                placed(at(2), 1, "main/1200", 1, event()),
                placed(At { epoch: 108, ..at(2) }, 2, "main/1200", 3, event()),
                placed(At { epoch: 108, ..at(0) }, 2, "main/1200", 1, event()),
                placed(at(1), 2, "main/77", 4, event()),
            ],
        ),
        Vector {
            start: Start::Middle,
            ..Vector::by_stream(
                "optional/stream-middle",
                "The reader joins, and reads streams.",
                [
                    placed(at(0), 90, "main/1200", 40, event()),
                    placed(at(1), 70, "main/1200", 42, event()),
                    placed(at(2), 80, "main/1200", 39, event()),
                ],
            )
        },
    ]
}
