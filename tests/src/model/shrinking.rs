//! Makes a sequence that fails short and plain.

use super::steps::{Draft, Pass, Sequence, Step};

/// The shortest sequence that was found to fail too: leaves steps out, many and then few, and makes the rest simpler.
pub fn shrink(sequence: &Sequence, mut fails: impl FnMut(&Sequence) -> bool) -> Sequence {
    let mut best = sequence.clone();
    loop {
        let before = best.clone();
        remove(&mut best, &mut fails);
        simplify(&mut best, &mut fails);
        if best == before {
            return best;
        }
    }
}

fn remove(best: &mut Sequence, fails: &mut impl FnMut(&Sequence) -> bool) {
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = best.steps.len().saturating_sub(size);
        loop {
            if at < best.steps.len() {
                let mut shorter = best.clone();
                let end = (at + size).min(shorter.steps.len());
                shorter.steps.drain(at..end);
                if fails(&shorter) {
                    *best = shorter;
                }
            }
            if at == 0 {
                break;
            }
            at = at.saturating_sub(size);
        }
        size /= 2;
    }
}

fn simplify(best: &mut Sequence, fails: &mut impl FnMut(&Sequence) -> bool) {
    for at in 0..best.steps.len() {
        for step in simpler(best.steps[at]) {
            let mut plainer = best.clone();
            plainer.steps[at] = step;
            if fails(&plainer) {
                *best = plainer;
                break;
            }
        }
    }
}

/// Steps like this one that are simpler, the simplest first.
fn simpler(step: Step) -> Vec<Step> {
    let mut found = Vec::new();
    match step {
        Step::Send { client, entity, draft, txn } => {
            found.push(Step::Send { client: 0, entity, draft, txn: None });
            found.push(Step::Send { client, entity, draft, txn: None });
            found.extend(drafts(draft).map(|draft| Step::Send { client, entity, draft, txn }));
        }
        Step::Batch { client, entity, draft, count } => {
            found.push(Step::Send { client, entity, draft, txn: None });
            found.push(Step::Batch { client, entity, draft, count: 1 });
            found.extend(drafts(draft).map(|draft| Step::Batch { client, entity, draft, count }));
        }
        Step::Schedule { client, entity, draft, txn } => {
            found.push(Step::Schedule { client, entity, draft, txn: None });
            found.extend(drafts(draft).map(|draft| Step::Schedule { client, entity, draft, txn }));
        }
        Step::Credit { link, count } => {
            found.push(Step::Credit { link: 0, count: 1 });
            found.push(Step::Credit { link, count: 1 });
            found.push(Step::Credit { link: 0, count });
        }
        Step::Settle { client, which, ending, managed, txn } => {
            found.push(Step::Settle { client, which: 0, ending, managed: false, txn: None });
            found.push(Step::Settle { client, which, ending, managed, txn: None });
            found.push(Step::Settle { client, which: 0, ending, managed, txn });
        }
        Step::Time(Pass::Some(time)) if time > 1_000 => {
            found.push(Step::Time(Pass::ToNext));
            found.push(Step::Time(Pass::Some(time / 2)));
            found.push(Step::Time(Pass::Some(time / 1_000 * 1_000)));
        }
        Step::Time(Pass::Forwards(time)) => found.push(Step::Time(Pass::Some(time))),
        _ => {}
    }
    found.retain(|simpler| *simpler != step);
    found
}

fn drafts(draft: Draft) -> impl Iterator<Item = Draft> {
    [
        Draft { session: draft.session, delay: draft.delay, ..Draft::default() },
        Draft { ttl: None, ..draft },
        Draft { id: None, ..draft },
        Draft { color: None, quantity: None, ..draft },
        Draft { delay: None, ..draft },
        Draft { session: draft.session.map(|_| 0), ..draft },
    ]
    .into_iter()
}
