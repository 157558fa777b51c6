//! Vectors of source gaps, and of what heals or ends them.

use super::Vector;
use super::records::{AT, at, gap, healed, healed_in_part, placed, record, watermark, watermark_of};
use bridge_contract::pb::{self, record::Body};

/// What a gap holds back.
pub(super) fn opened() -> Vec<Vector> {
    vec![
        Vector::by_lane(
            "lane-source-gaps",
            "A source gap is in every lane, and open until each has the healing. It caps completeness at its beginning.",
            [gap(at(0), 1, 50), gap(at(1), 1, 50), healed(at(0), 2), watermark(at(0), 3, 90), watermark(at(1), 2, 90)],
        ),
        Vector::by_lane(
            "lane-source-gap-without-watermark",
            "Without a watermark nothing is complete, whatever a source gap says.",
            [gap(AT, 1, 50)],
        ),
        Vector::by_lane(
            "lane-stream-ended",
            "A stream ends with a source gap open: nobody will heal it, so that it ends where the lane tells of that. Another \
             stream's gap stays open, whatever it is called.",
            [
                gap(at(0), 1, 50),
                gap(at(1), 1, 50),
                placed(at(0), 2, "other/9", 1, gap(at(0), 2, 60).body.unwrap()),
                watermark_of(at(0), 3, 90, 1, 2),
                watermark_of(at(1), 2, 90, 1, 2),
                record(at(0), 4, Body::StreamEnded(pb::StreamEnded {})),
                record(at(1), 3, Body::StreamEnded(pb::StreamEnded {})),
            ],
        ),
    ]
}

/// Healings out of order, and in parts.
pub(super) fn healings() -> Vec<Vector> {
    vec![
        Vector::by_lane(
            "lane-source-gap-healed-early",
            "The healing comes before the gap that it heals, which is late: healed is final.",
            [healed(AT, 2), gap(AT, 1, 50), watermark(AT, 3, 60)],
        ),
        Vector::by_lane(
            "lane-source-gap-healed-twice",
            "What a crawl had to leave out is read later: the first healing, of a part, closes the gap, and holds nothing back any \
             more. The second says that the rest is there, too. In lane 1 the second comes before the first, which is late; the \
             healing of a gap that was never seen is no surprise.",
            [
                gap(AT, 1, 50),
                watermark_of(AT, 2, 90, 1, 2),
                healed_in_part(AT, 3),
                watermark_of(AT, 4, 95, 1, 2),
                healed(AT, 5),
                gap(at(1), 1, 50),
                watermark_of(at(1), 2, 90, 1, 2),
                healed(at(1), 4),
                healed_in_part(at(1), 3),
                watermark_of(at(1), 5, 95, 1, 2),
                healed(at(2), 1),
            ],
        ),
    ]
}
