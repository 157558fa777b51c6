//! Names for made-up objects.

use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

const THINGS: &[&str] = &[
    "invoice",
    "landing page",
    "release notes",
    "onboarding",
    "budget",
    "dashboard",
    "contract",
    "newsletter",
    "roadmap",
    "backup",
    "catalogue",
    "audit",
    "survey",
    "webinar",
    "inventory",
    "prototype",
    "translation",
    "payroll",
    "price list",
    "logo",
];
const DEEDS: &[&str] = &["Write", "Review", "Fix", "Plan", "Approve", "Draft", "Test", "Ship", "Update", "Check"];
const TEAMS: &[&str] = &["Marketing", "Engineering", "Finance", "Design", "Support", "Sales", "People", "Operations"];
const FIRST: &[&str] = &[
    "Ada", "Björn", "Chloé", "Dmitri", "Emeka", "Farah", "Gustav", "Hana", "Inés", "José", "Keiko", "Liam", "Mei",
    "Noor", "Olga", "Priya",
];
const LAST: &[&str] = &[
    "Abe", "Brandt", "Costa", "Díaz", "Eze", "Fischer", "García", "Haddad", "Ito", "Jensen", "Kim", "López", "Moreau",
    "Novák", "Okafor", "Patel",
];
pub(crate) const TAGS: [&str; 6] = ["urgent", "blocked", "customer", "legal", "idea", "next year"];
const COMPANIES: &[&str] = &["Acme", "Globex", "Initech", "Umbra", "Vandelay", "Wonka"];
const ANIMALS: &[&str] = &["otters", "herons", "lynxes", "moles", "geese", "bats"];
const MOODS: &[&str] = &["calm", "eager", "grumpy", "sleepy", "proud", "shy"];
const WAYS: &[&str] = &["gently", "loudly", "slowly", "twice", "sideways", "at noon"];
const ACTS: &[&str] = &["whistle", "juggle", "wander", "yawn", "paint", "hum"];

fn from<'a>(dice: &mut ChaCha8Rng, words: &[&'a str]) -> &'a str {
    words.choose(dice).copied().unwrap_or_default()
}

/// A random word.
pub(crate) fn one(dice: &mut ChaCha8Rng) -> &'static str {
    from(dice, THINGS)
}

pub(crate) fn task(dice: &mut ChaCha8Rng) -> String {
    format!("{} the {}", from(dice, DEEDS), from(dice, THINGS))
}

pub(crate) fn project(dice: &mut ChaCha8Rng) -> String {
    let quarter = dice.random_range(1..=4);
    format!("{} {} Q{quarter}", from(dice, TEAMS), from(dice, THINGS))
}

pub(crate) fn team(dice: &mut ChaCha8Rng) -> String {
    from(dice, TEAMS).to_owned()
}

pub(crate) fn company(dice: &mut ChaCha8Rng) -> String {
    from(dice, COMPANIES).to_owned()
}

pub(crate) fn person(dice: &mut ChaCha8Rng) -> String {
    format!("{} {}", from(dice, FIRST), from(dice, LAST))
}

pub(crate) fn goal(dice: &mut ChaCha8Rng) -> String {
    let percent = dice.random_range(2..=40);
    format!("Improve every {} by {percent}%", from(dice, THINGS))
}

pub(crate) fn comment(dice: &mut ChaCha8Rng) -> String {
    format!("Could you look at the {} again?", from(dice, THINGS))
}

/// A phrase by which Asana's support finds a server error.
pub(crate) fn error_phrase(dice: &mut ChaCha8Rng) -> String {
    let number = dice.random_range(2..=99);
    let (mood, animal) = (from(dice, MOODS), from(dice, ANIMALS));
    format!("{number} {mood} {animal} {} {}", from(dice, ACTS), from(dice, WAYS))
}
