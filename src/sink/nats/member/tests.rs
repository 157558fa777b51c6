//! Many members and one bucket, in any order of messages.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const LEASE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(50);

type Told = (Key, u64, Option<Holder>);

/// A replica: the member, what is on its way to it, and what its session has.
struct Node {
    member: Member,
    me: Holder,
    told: VecDeque<Told>,
    pending: VecDeque<(Duration, Action)>,
    granted: BTreeSet<ShardId>,
    /// Shards that were taken from the session, in order or not.
    taken_away: usize,
}

/// The bucket, as the server has it, and all replicas.
struct World {
    now: Duration,
    shards: u32,
    revision: u64,
    sessions: u32,
    bucket: BTreeMap<Key, (u64, Option<Holder>, Duration)>,
    nodes: BTreeMap<String, Node>,
    /// Those of no process any more whose requests are still on their way.
    stray: Vec<(Holder, Action)>,
}

#[derive(Clone, Debug)]
enum Op {
    Join(u8),
    Leave(u8),
    Crash(u8),
    /// Tells a node of so many changes.
    Tell(u8, u8),
    /// Performs a node's oldest, or newest, request.
    Perform(u8, bool),
    /// The same, but the answer, or the request itself, is lost.
    Lose(u8, bool),
    Foreign(u8, u8),
    Wait(u16),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        1 => (0..5_u8).prop_map(Op::Join),
        1 => (0..5_u8).prop_map(Op::Leave),
        1 => (0..5_u8).prop_map(Op::Crash),
        6 => (0..5_u8, 1..20_u8).prop_map(|(node, count)| Op::Tell(node, count)),
        12 => (0..5_u8, any::<bool>()).prop_map(|(node, oldest)| Op::Perform(node, oldest)),
        2 => (0..5_u8, any::<bool>()).prop_map(|(node, applied)| Op::Lose(node, applied)),
        1 => (0..5_u8, 0..20_u8).prop_map(|(node, shard)| Op::Foreign(node, shard)),
        3 => (1..4_000_u16).prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 0..250)
}

impl World {
    fn new(shards: u32) -> Self {
        Self {
            now: Duration::ZERO,
            shards,
            revision: 0,
            sessions: 0,
            bucket: BTreeMap::new(),
            nodes: BTreeMap::new(),
            stray: Vec::new(),
        }
    }

    fn join(&mut self, name: &str) {
        self.crash(name);
        self.sessions += 1;
        let me = Holder { replica: name.to_owned(), session: self.sessions.to_string() };
        let mut told: Vec<Told> =
            self.bucket.iter().map(|(key, (at, who, _))| (key.clone(), *at, who.clone())).collect();
        told.sort_by_key(|(_, revision, _)| *revision);
        let member = Member::new(me.clone(), self.shards, LEASE);
        let node =
            Node { member, me, told: told.into(), pending: VecDeque::new(), granted: BTreeSet::new(), taken_away: 0 };
        self.nodes.insert(name.to_owned(), node);
        self.act(name);
    }

    fn crash(&mut self, name: &str) {
        if let Some(node) = self.nodes.remove(name) {
            let writes = node.pending.into_iter().map(|(_, action)| action);
            let writes = writes.filter(|action| matches!(action, Action::Write(..)));
            self.stray.extend(writes.map(|action| (node.me.clone(), action)));
        }
    }

    fn leave(&mut self, name: &str) {
        let Some(node) = self.nodes.get(name) else { return };
        let (me, keys) = (node.me.clone(), node.member.leave());
        self.nodes.remove(name);
        for (key, _) in keys {
            self.release(&me, &key);
        }
    }

    fn act(&mut self, name: &str) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        for action in node.member.act(self.now) {
            match action {
                Action::Lost(shards) => {
                    for shard in shards {
                        assert!(node.granted.remove(&shard), "{shard:?} was lost twice");
                        node.taken_away += 1;
                    }
                }
                Action::Twin(_) => {}
                Action::Write(..) | Action::Look(..) | Action::Release(..) | Action::Restore(_) | Action::Revoke(_) => {
                    node.pending.push_back((self.now, action));
                }
            }
        }
    }

    fn put(&mut self, key: &Key, holder: Option<&Holder>) -> u64 {
        self.revision += 1;
        self.bucket.insert(key.clone(), (self.revision, holder.cloned(), self.now));
        for node in self.nodes.values_mut() {
            node.told.push_back((key.clone(), self.revision, holder.cloned()));
        }
        self.revision
    }

    fn found(&self, key: &Key) -> Answer {
        self.bucket.get(key).map_or(Answer::Found(0, None), |(revision, who, _)| Answer::Found(*revision, who.clone()))
    }

    fn write(&mut self, me: &Holder, key: &Key, known: u64) -> Answer {
        if self.bucket.get(key).map_or(0, |(revision, ..)| *revision) == known {
            return Answer::Written(self.put(key, Some(me)));
        }
        self.found(key)
    }

    fn release(&mut self, me: &Holder, key: &Key) {
        if self.bucket.get(key).is_some_and(|(_, holder, _)| holder.as_ref() == Some(me)) {
            self.put(key, None);
        }
    }

    fn tell(&mut self, name: &str, count: usize) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        for _ in 0..count {
            if let Some((key, revision, holder)) = node.told.pop_front() {
                node.member.watched(self.now, &key, revision, holder);
            }
        }
        self.act(name);
    }

    fn perform(&mut self, name: &str, oldest: bool, answer: bool) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let next = if oldest { node.pending.pop_front() } else { node.pending.pop_back() };
        let Some((sent, action)) = next else { return };
        let me = node.me.clone();
        let answered = match action {
            Action::Write(key, known) => Some((self.write(&me, &key, known), key, known)),
            Action::Look(key, known) => Some((self.found(&key), key, known)),
            Action::Release(key, revision) => {
                self.release(&me, &key);
                self.nodes.get_mut(name).unwrap().member.released(&key, revision);
                None
            }
            Action::Restore(tenures) => {
                let node = self.nodes.get_mut(name).unwrap();
                node.granted.extend(node.member.restored(&tenures));
                None
            }
            Action::Revoke(tenures) => {
                let node = self.nodes.get_mut(name).unwrap();
                for tenure in &tenures {
                    // It may be lost meanwhile, and even be back.
                    if node.member.held.get(&tenure.shard).is_some_and(|held| held.tenure == *tenure) {
                        node.taken_away += usize::from(node.granted.remove(&tenure.shard));
                    }
                }
                node.member.gave_up(&tenures);
                None
            }
            Action::Lost(_) | Action::Twin(_) => unreachable!("performed at once"),
        };
        if let Some((said, key, known)) = answered {
            let said = if answer { said } else { Answer::Silent };
            self.nodes.get_mut(name).unwrap().member.answered(self.now, sent, &key, known, said);
        }
        self.act(name);
    }

    fn lose(&mut self, name: &str, applied: bool) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        match node.pending.front() {
            Some((_, Action::Write(..) | Action::Look(..))) if applied => self.perform(name, true, false),
            Some((_, Action::Write(key, known) | Action::Look(key, known))) => {
                let (key, known) = (key.clone(), *known);
                let (sent, _) = node.pending.pop_front().unwrap();
                node.member.answered(self.now, sent, &key, known, Answer::Silent);
                self.act(name);
            }
            _ => self.perform(name, true, true),
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.bucket.retain(|_, (_, _, stored)| self.now < *stored + LEASE);
        let names: Vec<_> = self.nodes.keys().cloned().collect();
        for name in names {
            self.act(&name);
        }
    }

    /// Everybody is told everything, and every request is answered, for so long.
    fn in_peace(&mut self, time: Duration) {
        for (me, action) in std::mem::take(&mut self.stray) {
            if let Action::Write(key, known) = action {
                self.write(&me, &key, known);
            }
        }
        let end = self.now + time;
        while self.now < end {
            self.wait(TICK);
            let names: Vec<_> = self.nodes.keys().cloned().collect();
            for name in names {
                while !self.nodes[&name].told.is_empty() {
                    self.tell(&name, 1);
                }
                while !self.nodes[&name].pending.is_empty() {
                    self.perform(&name, true, true);
                }
            }
        }
    }

    fn owners(&self) -> BTreeMap<ShardId, Vec<String>> {
        let mut owners: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, node) in &self.nodes {
            for shard in &node.granted {
                owners.entry(*shard).or_default().push(name.clone());
            }
        }
        owners
    }

    fn taken_away(&self) -> usize {
        self.nodes.values().map(|node| node.taken_away).sum()
    }

    fn assert_balanced(&self) {
        let owners = self.owners();
        assert_eq!(owners.len(), self.shards as usize, "{owners:?}");
        assert!(owners.values().all(|names| names.len() == 1), "{owners:?}");
        let names: BTreeSet<&str> = self.nodes.keys().map(String::as_str).collect();
        for (name, quota) in quotas(&names, self.shards as usize) {
            assert_eq!(self.nodes[name].granted.len(), quota, "{name} of {owners:?}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_each_shard_has_one_owner_in_the_end_and_nothing_moves_then(ops in ops(), shards in 1..20_u32) {
        let mut world = World::new(shards);
        world.join("0");
        for op in ops {
            match op {
                Op::Join(name) => world.join(&name.to_string()),
                Op::Leave(name) => world.leave(&name.to_string()),
                Op::Crash(name) => world.crash(&name.to_string()),
                Op::Tell(name, count) => world.tell(&name.to_string(), usize::from(count)),
                Op::Perform(name, oldest) => world.perform(&name.to_string(), oldest, true),
                Op::Lose(name, applied) => world.lose(&name.to_string(), applied),
                Op::Foreign(name, shard) => {
                    if let Some(node) = world.nodes.get_mut(&name.to_string()) {
                        node.member.foreign(&[ShardId(u32::from(shard))]);
                    }
                    world.act(&name.to_string());
                }
                Op::Wait(milliseconds) => world.wait(Duration::from_millis(milliseconds.into())),
            }
        }
        if world.nodes.is_empty() {
            world.join("last");
        }
        world.in_peace(LEASE * 3);
        world.assert_balanced();
        let (owners, taken_away) = (world.owners(), world.taken_away());
        world.in_peace(LEASE * 2);
        prop_assert_eq!(world.owners(), owners);
        prop_assert_eq!(world.taken_away(), taken_away);
    }

    #[test]
    fn only_what_has_to_move_moves(
        members in prop::collection::btree_set(0..9_u8, 1..6),
        other in 0..9_u8,
        crash: bool,
        order in prop::collection::vec((0..9_u8, any::<bool>(), any::<bool>()), 0..300),
        shards in 1..40_u32,
    ) {
        let mut world = World::new(shards);
        for name in &members {
            world.join(&name.to_string());
        }
        world.in_peace(LEASE * 3);
        world.assert_balanced();
        let (before, taken_before) = (world.owners(), world.taken_away());
        let other = other.to_string();
        let joins = !world.nodes.contains_key(&other);
        prop_assume!(joins || world.nodes.len() > 1);
        let gone = world.nodes.get(&other).map_or(0, |node| node.granted.len());
        let taken_by_the_gone = world.nodes.get(&other).map_or(0, |node| node.taken_away);
        match (joins, crash) {
            (true, _) => world.join(&other),
            (false, true) => world.crash(&other),
            (false, false) => world.leave(&other),
        }
        for (node, tell, oldest) in order {
            let names: Vec<_> = world.nodes.keys().cloned().collect();
            let name = &names[usize::from(node) % names.len()];
            if tell { world.tell(name, 1) } else { world.perform(name, oldest, true) }
            prop_assert!(world.owners().values().all(|names| names.len() == 1), "{:?}", world.owners());
        }
        world.in_peace(LEASE * 3);
        world.assert_balanced();
        let after = world.owners();
        let moved = before.iter().filter(|(shard, names)| after[*shard] != **names).count();
        let needed = if joins { world.nodes[&other].granted.len() } else { gone };
        prop_assert_eq!(moved, needed);
        // Whoever stays gave up nothing but what the newcomer has.
        let given = world.taken_away() + taken_by_the_gone - taken_before;
        prop_assert_eq!(given, if joins { needed } else { 0 });
    }
}

/// One replica that holds all, and is told of everything but what the test keeps back.
fn alone(shards: u32) -> World {
    let mut world = World::new(shards);
    world.join("a");
    world.in_peace(LEASE);
    world.assert_balanced();
    world
}

#[test]
fn a_replica_that_comes_back_has_its_shards_at_once() {
    let mut world = alone(5);
    world.join("b");
    world.in_peace(LEASE);
    world.join("a");
    world.in_peace(TICK * 2);
    world.assert_balanced();
}

#[test]
fn a_replica_that_slept_too_long_loses_all_and_is_a_member_again() {
    let mut world = alone(5);
    world.join("b");
    world.in_peace(LEASE);
    let mut sleeper = world.nodes.remove("a").unwrap();
    world.in_peace(LEASE * 2);
    assert_eq!(world.nodes["b"].granted.len(), 5);
    sleeper.told.clear();
    world.nodes.insert("a".to_owned(), sleeper);
    world.act("a");
    assert!(world.nodes["a"].granted.is_empty());
    // What it was not told of it finds out.
    world.in_peace(LEASE * 2);
    world.assert_balanced();
}

#[test]
fn of_two_replicas_with_one_name_the_later_one_works() {
    let mut world = alone(5);
    let mut elder = world.nodes.remove("a").unwrap();
    world.join("a");
    world.in_peace(TICK * 4);
    let key = Key::Replica("a".to_owned());
    let (revision, twin, _) = world.bucket[&key].clone();
    elder.member.watched(world.now, &key, revision, twin.clone());
    let actions = elder.member.act(world.now);
    assert!(actions.contains(&Action::Twin(twin.unwrap())), "{actions:?}");
    assert!(actions.iter().any(|action| matches!(action, Action::Lost(shards) if shards.len() == 5)), "{actions:?}");
    // It doesn't take the name back as long as the other one lives, nor gives it up.
    assert!(elder.member.leave().is_empty());
    assert!(elder.member.act(world.now + LEASE / 2).is_empty());
    elder.member.watched(world.now, &key, revision + 100, None);
    assert!(elder.member.act(world.now + LEASE).contains(&Action::Write(key, revision + 100)));
    world.assert_balanced();
}

#[test]
fn a_renewal_that_isnt_answered_is_sent_again_until_the_lease_has_run_out() {
    let mut world = alone(1);
    let node = world.nodes.get_mut("a").unwrap();
    let mut now = world.now;
    let mut asked = 0;
    let lost_after = loop {
        now += TICK;
        for action in node.member.act(now) {
            match action {
                Action::Write(key, known) => {
                    asked += 1;
                    node.member.answered(now, now, &key, known, Answer::Silent);
                }
                Action::Lost(_) | Action::Look(..) => {}
                other @ (Action::Release(..) | Action::Restore(_) | Action::Revoke(_) | Action::Twin(_)) => {
                    panic!("{other:?}");
                }
            }
        }
        if node.member.held.is_empty() {
            break now.saturating_sub(world.now);
        }
    };
    assert!(lost_after >= LEASE * 3 / 4 && lost_after <= LEASE, "{lost_after:?}");
    assert!(asked > 20, "{asked}");
}
