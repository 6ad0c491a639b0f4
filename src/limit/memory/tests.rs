//! What the counters take, and who shares when there is no place left.

use std::net::Ipv4Addr;

use super::*;
use crate::config::Strategy;
use crate::limit::crowd::SHARED;
use crate::limit::tests::{ask, caller, key, rate, section};
use crate::limit::{Ask, Caller, KeyId};

const SECOND: Ticks = 1_000_000_000;

struct Room {
    rules: Rules,
    memory: Memory,
}

impl Room {
    /// So many requests a minute for everybody, and so many addresses.
    fn of(strategy: Strategy, amount: u64, addresses: usize) -> Self {
        let section = section(strategy, &[rate(amount, 60)]);
        let rules = Rules::build(&section, &[key(&[], &[], 0)]);
        let memory = Memory::build(&rules, addresses);
        Self { rules, memory }
    }

    fn admits(&self, ask: &Ask<'_>, now: Ticks) -> bool {
        self.memory.admit(&self.rules.plan(ask), None, || now).is_ok()
    }

    fn address(&self, number: u32, now: Ticks) -> bool {
        let client = Some(Ipv4Addr::from_bits(number).into());
        self.admits(&ask(Caller { key: None, client, level: 0 }, 0), now)
    }

    /// Lets a key call until every part was swept; gives the time.
    fn sweep_all(&self, from: Ticks) -> Ticks {
        let mut now = from;
        for _ in 0..300 {
            now += SECOND / 20;
            self.admits(&ask(caller(Some(0), "10.0.0.1"), 0), now);
        }
        now
    }
}

#[test]
fn idle_counters_go_and_those_that_count_stay() {
    for strategy in [Strategy::MovingWindow, Strategy::FixedWindow] {
        let room = Room::of(strategy, 5, 100_000);
        for number in 0..50_000 {
            assert!(room.address(number, SECOND));
        }
        assert_eq!(room.memory.counters(), 50_000);
        // Six hundred of them come again a period later.
        for number in 0..600 {
            assert!(room.address(number, 61 * SECOND));
        }
        room.sweep_all(61 * SECOND);
        let left = room.memory.counters();
        assert_eq!(left, 601, "600 addresses and the key");
        let room_held: usize = room.memory.crowd.capacity();
        assert!(room_held < 10_000, "room for {room_held} is held");
        assert_eq!(room.memory.crowd.addresses(), 600);
    }
}

#[test]
fn the_counters_of_keys_that_do_not_come_any_more_go_too() {
    let section = section(Strategy::MovingWindow, &[rate(5, 60)]);
    let keys = vec![key(&[rate(9, 10)], &[rate(9, 60), rate(9, 20)], 0); 3_000];
    let rules = Rules::build(&section, &keys);
    let memory = Memory::build(&rules, 1_000);
    let call = |caller: Caller, now: Ticks| {
        memory.admit(&rules.plan(&ask(caller, 1)), None, || now).unwrap();
    };
    (0..3_000).for_each(|number| call(caller(Some(number), "10.0.0.1"), 0));
    assert_eq!(memory.counters(), 4 * 3_000);
    (0..TURNS as u64).for_each(|turn| call(caller(None, "::1"), (60 + 20 * turn) * SECOND));
    assert_eq!(memory.counters(), 1);
}

#[test]
fn a_million_addresses_fill_no_more_than_their_places() {
    let room = Room::of(Strategy::MovingWindow, 1, 20_000);
    let admitted: u64 = (0..1_000_000).map(|number| u64::from(room.address(number, 0))).sum();
    assert_eq!(admitted, 20_000 + SHARED, "one for each counter");
    assert_eq!(room.memory.counters() as u64, 20_000 + SHARED);
    assert!(room.admits(&ask(caller(Some(0), "10.0.0.1"), 0), 0), "a key always has a place");
    assert!(room.admits(&ask(Caller { key: None, client: None, level: 0 }, 0), 0));
}

#[test]
fn nobody_has_a_limit_twice_when_a_place_becomes_free() {
    // Two places: one is taken by an address that goes, the other by one that stays.
    for strategy in [Strategy::MovingWindow, Strategy::FixedWindow] {
        let room = Room::of(strategy, 3, 2);
        assert!(room.address(1, 0) && room.address(2, 0));
        let newcomer = |now: Ticks| (0..5).filter(|_| room.address(3, now)).count();
        assert_eq!(newcomer(30 * SECOND), 3, "in a shared counter");
        // The places are free from here on, the shared counter counts for another 30 seconds.
        let now = room.sweep_all(61 * SECOND);
        assert_eq!(room.memory.crowd.addresses(), 0);
        assert_eq!(newcomer(now), 0);
        assert_eq!(newcomer(90 * SECOND), 3, "in its own one");
        assert_eq!(room.memory.crowd.addresses(), 1);
    }
}

#[test]
fn two_callers_of_one_admission_are_never_locked_crosswise() {
    let mut section = section(Strategy::MovingWindow, &[rate(1_000_000, 60)]);
    section.by = crate::config::CountBy::Ip;
    let keys: Vec<_> = (0..64).map(|_| key(&[rate(1_000_000, 60)], &[], 0)).collect();
    let rules = Rules::build(&section, &keys);
    let memory = Memory::build(&rules, 1_000);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (rules, memory) = (&rules, &memory);
            scope.spawn(move || {
                for turn in 0..2_000_u32 {
                    let client = Some(Ipv4Addr::from_bits(turn.wrapping_mul(7) % 64).into());
                    let key = Some(KeyId((turn * 13 + thread) % 64));
                    let plan = rules.plan(&ask(Caller { key, client, level: 0 }, 0));
                    assert!(memory.admit(&plan, None, || 0).is_ok());
                }
            });
        }
    });
    assert_eq!(memory.counters(), 128);
}
