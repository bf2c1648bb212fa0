use proptest::prelude::*;

use super::{ActorId, Agenda, HeapAgenda, QueueAgenda};
use crate::time::Instant;

#[derive(Clone, Debug)]
enum Op {
    Set {
        actor: u32,
        at: u64,
    },
    Clear {
        actor: u32,
    },
    /// Sets the first entry anew, a little later: what the engine does all the time.
    Postpone {
        by: u64,
    },
}

/// Operations on actors of numbers below `actors`.
fn ops(actors: u32) -> impl Strategy<Value = Vec<Op>> {
    // Few instants, so that ties are common.
    let op = prop_oneof![
        4 => (0..actors, 0..20_u64).prop_map(|(actor, at)| Op::Set { actor, at }),
        1 => (0..actors).prop_map(|actor| Op::Clear { actor }),
        4 => (0..8_u64).prop_map(|by| Op::Postpone { by }),
    ];
    prop::collection::vec(op, 0..300)
}

/// One line an entry; the first is found by looking at all of them.
#[derive(Default)]
struct Model(Vec<(Instant, u64, ActorId)>);

impl Agenda for Model {
    fn set(&mut self, actor: ActorId, at: Instant, order: u64) {
        self.clear(actor);
        self.0.push((at, order, actor));
    }

    fn clear(&mut self, actor: ActorId) {
        self.0.retain(|entry| entry.2 != actor);
    }

    fn peek(&self) -> Option<(Instant, ActorId)> {
        self.0.iter().min().map(|&(at, _, actor)| (at, actor))
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// What an agenda shows after each operation, and in which order it empties.
fn history<A: Agenda>(ops: &[Op]) -> Vec<(usize, Option<(Instant, ActorId)>)> {
    let mut agenda = A::default();
    let mut seen = Vec::new();
    for (order, op) in ops.iter().enumerate() {
        match *op {
            Op::Set { actor, at } => agenda.set(ActorId(actor), Instant::from_nanos(at), order as u64),
            Op::Clear { actor } => agenda.clear(ActorId(actor)),
            Op::Postpone { by } => {
                if let Some((at, actor)) = agenda.peek() {
                    agenda.set_first(actor, Instant::from_nanos(at.as_nanos() + by), order as u64);
                }
            }
        }
        seen.push((agenda.len(), agenda.peek()));
    }
    while let Some((_, actor)) = agenda.peek() {
        agenda.clear(actor);
        seen.push((agenda.len(), agenda.peek()));
    }
    seen
}

proptest! {
    /// The heap is a sorted list below 24 actors and has three levels at 60; what has few at first may get more.
    #[test]
    fn both_agendas_behave_as_the_naive_model(
        mut ops in prop_oneof![ops(8), ops(24), ops(60)],
        later in prop_oneof![Just(Vec::new()), ops(60)],
    ) {
        ops.extend(later);
        let expected = history::<Model>(&ops);
        prop_assert_eq!(&history::<HeapAgenda>(&ops), &expected);
        prop_assert_eq!(&history::<QueueAgenda>(&ops), &expected);
    }
}

fn ties_leave_in_set_order<A: Agenda>() {
    let mut agenda = A::default();
    let at = Instant::from_nanos(5);
    for (order, actor) in [7, 3, 9, 1, 4, 8, 2].into_iter().enumerate() {
        agenda.set(ActorId(actor), at, order as u64);
    }
    agenda.set(ActorId(9), at, 100);
    let mut left = Vec::new();
    while let Some((_, actor)) = agenda.peek() {
        agenda.clear(actor);
        left.push(actor.0);
    }
    assert_eq!(left, [7, 3, 1, 4, 8, 2, 9]);
}

#[test]
fn entries_of_one_instant_leave_in_the_order_of_being_set() {
    ties_leave_in_set_order::<HeapAgenda>();
    ties_leave_in_set_order::<QueueAgenda>();
}

#[test]
fn the_latest_instant_and_the_largest_order_fit_the_key() {
    let mut agenda = HeapAgenda::default();
    agenda.set(ActorId(ActorId::LIMIT - 1), Instant::FAR_FUTURE, (1 << 40) - 2);
    assert_eq!(agenda.peek(), Some((Instant::FAR_FUTURE, ActorId(ActorId::LIMIT - 1))));
    agenda.set(ActorId(0), Instant::FAR_FUTURE, (1 << 40) - 3);
    assert_eq!(agenda.peek(), Some((Instant::FAR_FUTURE, ActorId(0))));
}
