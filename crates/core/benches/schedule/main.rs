//! The schedule beside round robin and beside the optimum, on streams whose event rates are known.
#![expect(clippy::cast_precision_loss, reason = "numbers of streams and events")]

mod load;
mod run;

fn main() {
    let hours: f64 = std::env::args().nth(1).and_then(|it| it.parse().ok()).unwrap_or(12.0);
    let warm: f64 = std::env::args().nth(2).and_then(|it| it.parse().ok()).unwrap_or(2.0);
    let which = std::env::args().nth(3).unwrap_or_default();
    for size in run::SIZES {
        for (name, load) in load::all() {
            if !name.contains(&which) {
                continue;
            }
            let result = run::run(size, load, hours * 3600.0, warm * 3600.0, 1);
            println!("{:>6} {:>4}/s {:>5}/min  {name:<12} {result}", size.streams, size.events, size.per_minute);
        }
    }
}
