//! Finds the equilibrium: unknown are the logarithms of all windows and of the signals of the links that
//! can congest; each subflow and link gives one equation. What may be zero (the signal of a link that is
//! not full, a window at its floor) is a complementarity condition, written with the function of Fischer
//! (1992), `a + b - sqrt(a^2 + b^2)`, which is zero where a and b are not negative and one of them is
//! zero.
//!
//! Newton's method with a search along the line (Levenberg's step where the matrix is singular) follows
//! the solution from a law with one answer (EWTCP, for which the problem is the maximisation of a concave
//! utility) to the algorithm asked for, in steps that are halved when Newton fails.

use std::ops::Range;

use super::equilibrium::{Equilibrium, FluidError, LinkState, SubflowState, UserState};
use super::law::{self, Algorithm, LossModel, Signal, Subflow};
use super::linear::Matrix;
use super::network::{Law, LinkId, Network, PathId};

/// How to solve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Smallest window of a loss-based subflow in packets; the papers' probing is 1 (draft) or 2 (Linux).
    /// 0, the default, is none. (What keeps wVegas above zero is its `min_alpha`.)
    pub window_floor: f64,
    /// Which window stands for a loss probability. Default [`LossModel::Drift`].
    pub loss_model: LossModel,
    /// Largest error of any equation, which are differences of logarithms. Default 1e-9, range 1e-12 to 1e-3.
    pub tolerance: f64,
    /// Newton steps in all before giving up. Default 5000.
    pub max_steps: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { window_floor: 0.0, loss_model: LossModel::Drift, tolerance: 1e-9, max_steps: 5000 }
    }
}

/// Rates, windows and signals at which every window of the network rests.
///
/// # Errors
///
/// Input that makes no sense, or no convergence; never a wrong answer: an equilibrium fulfils all
/// equations within [`Options::tolerance`].
pub fn solve(network: &Network, options: &Options) -> Result<Equilibrium, FluidError> {
    let mut problem = Problem::new(network, options)?;
    let whole_shares =
        network.users.iter().any(|user| matches!(user.algorithm, Algorithm::WVegas { whole: true, .. }));
    let mut point = problem.follow()?;
    let mut rounds = 0;
    while whole_shares && problem.update_shares(&point) {
        rounds += 1;
        if rounds > MAX_SHARE_ROUNDS {
            let residual = problem.residual(&point, 0.0).1;
            return Err(FluidError::NotConverged { residual, regular: 0.0, steps: problem.steps });
        }
        point = problem.follow()?;
    }
    Ok(problem.equilibrium(&point))
}

/// How much of the regular law is mixed in, step by step.
const LADDER: [f64; 10] = [1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.03, 0.01, 1e-3, 1e-4];
/// The last rung for laws that leave the division open.
const REGULAR: f64 = 1e-6;
/// Other first guesses of the logarithms of signals, if the first one fails.
const GUESS_SHIFTS: [f64; 4] = [-2.0, 2.0, -5.0, 5.0];
/// Steps of the ladder are halved so often.
const MAX_HALVINGS: u32 = 12;
/// A window that stands for none, in packets.
const NO_WINDOW: f64 = 1e-9;
/// Signals may fall by this factor (as logarithm) below the first guess, and then count as zero.
const LOG_SIGNAL_RANGE: f64 = 30.0;
/// Levenberg's factors, tried in turn.
const DAMPINGS: [f64; 6] = [1e-12, 1e-9, 1e-6, 1e-4, 1e-2, 1.0];
/// Longest Newton step in any logarithm.
const MAX_STEP: f64 = 3.0;
/// Rounding of wVegas shares settles within few rounds or never.
const MAX_SHARE_ROUNDS: u32 = 100;

struct Problem<'a> {
    network: &'a Network,
    options: &'a Options,
    signal: Signal,
    /// The links of each subflow.
    links: Vec<&'a [LinkId]>,
    subflows: Vec<Subflow>,
    paths: Vec<PathId>,
    /// The subflows of each user.
    ranges: Vec<Range<usize>>,
    /// The user of each subflow.
    owners: Vec<usize>,
    /// For each link its unknown, if it can congest.
    unknowns: Vec<Option<usize>>,
    /// Smallest logarithm of each unknown.
    lowest: Vec<f64>,
    steps: u32,
}

fn in_range(what: &'static str, value: f64, range: &'static str, ok: bool) -> Result<(), FluidError> {
    if ok && value.is_finite() { Ok(()) } else { Err(FluidError::OutOfRange { what, value, range }) }
}

fn check(network: &Network, options: &Options) -> Result<(), FluidError> {
    let Options { window_floor, loss_model: _, tolerance, max_steps: _ } = *options;
    in_range("window floor", window_floor, "0 or more", window_floor >= 0.0)?;
    in_range("tolerance", tolerance, "from 1e-12 to 1e-3", (1e-12..=1e-3).contains(&tolerance))?;
    for link in &network.links {
        in_range("loss of a link", link.loss, "from 0 to below 1", (0.0..1.0).contains(&link.loss))?;
        in_range("standing delay of a link", link.delay, "0 or more", link.delay >= 0.0)?;
        match link.law {
            Law::Free => {}
            Law::Capacity { capacity } => in_range("capacity", capacity, "above 0", capacity > 0.0)?,
            Law::Power { capacity, exponent } => {
                in_range("capacity", capacity, "above 0", capacity > 0.0)?;
                in_range("exponent", exponent, "above 0", exponent > 0.0)?;
            }
        }
    }
    for path in &network.paths {
        in_range("round-trip time", path.rtt, "above 0", path.rtt > 0.0)?;
        if path.links.iter().any(|link| link.0 >= network.links.len()) {
            return Err(FluidError::Malformed { what: "a path names a link of another network" });
        }
    }
    for user in &network.users {
        in_range("count of users", user.count, "at least 1", user.count >= 1.0)?;
        if user.paths.is_empty() {
            return Err(FluidError::Malformed { what: "a user has no path" });
        }
        if user.paths.iter().any(|path| path.0 >= network.paths.len()) {
            return Err(FluidError::Malformed { what: "a user names a path of another network" });
        }
        match user.algorithm {
            Algorithm::Vegas { alpha } => in_range("alpha", alpha, "above 0", alpha > 0.0)?,
            Algorithm::WVegas { total_alpha, min_alpha, whole } => {
                in_range("total alpha", total_alpha, "above 0", total_alpha > 0.0)?;
                in_range("least alpha", min_alpha, "0 or more", min_alpha >= 0.0)?;
                if whole {
                    in_range("least whole alpha", min_alpha, "at least 1", min_alpha >= 1.0)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl<'a> Problem<'a> {
    fn new(network: &'a Network, options: &'a Options) -> Result<Self, FluidError> {
        check(network, options)?;
        let mut users = network.users.iter();
        let signal = users.next().map_or(Signal::Loss, |user| user.algorithm.signal());
        if users.any(|user| user.algorithm.signal() != signal) {
            return Err(FluidError::MixedSignals);
        }
        let mut problem = Self {
            network,
            options,
            signal,
            links: Vec::new(),
            subflows: Vec::new(),
            paths: Vec::new(),
            ranges: Vec::new(),
            owners: Vec::new(),
            unknowns: Vec::new(),
            lowest: Vec::new(),
            steps: 0,
        };
        for (owner, user) in network.users.iter().enumerate() {
            let start = problem.links.len();
            let shares = match user.algorithm {
                Algorithm::WVegas { total_alpha, min_alpha, .. } => {
                    whole_share(total_alpha, 1.0 / user.paths.len() as f64, min_alpha)
                }
                _ => 0.0,
            };
            for &id in &user.paths {
                let path = &network.paths[id.0];
                let standing: f64 = path.links.iter().map(|link| network.links[link.0].delay).sum();
                problem.links.push(&path.links);
                problem.paths.push(id);
                problem.owners.push(owner);
                let rtt = path.rtt + standing;
                problem.subflows.push(Subflow { log_window: 0.0, rtt, alpha: shares });
            }
            problem.ranges.push(start..problem.links.len());
        }
        let mut next = problem.subflows.len();
        for link in &network.links {
            problem.unknowns.push((link.law != Law::Free).then_some(next));
            next += usize::from(link.law != Law::Free);
        }
        problem.check_limits()?;
        Ok(problem)
    }

    /// Loss by chance, if the users react to loss.
    fn chance(&self, link: usize) -> f64 {
        if self.signal == Signal::Loss { self.network.links[link].loss } else { 0.0 }
    }

    fn floor(&self) -> f64 {
        if self.signal == Signal::Loss { self.options.window_floor.max(NO_WINDOW) } else { NO_WINDOW }
    }

    fn check_limits(&self) -> Result<(), FluidError> {
        for (index, links) in self.links.iter().enumerate() {
            if !links.iter().any(|link| self.unknowns[link.0].is_some() || self.chance(link.0) > 0.0) {
                let user = self.owners[index];
                return Err(FluidError::Unlimited { user, subflow: index - self.ranges[user].start });
            }
        }
        let smallest: Vec<_> = self.subflows.iter().map(|subflow| self.floor() / subflow.rtt).collect();
        for (link, load) in self.loads(&smallest).into_iter().enumerate() {
            if let Law::Capacity { capacity } = self.network.links[link].law
                && load >= capacity
            {
                return Err(FluidError::FloorExceedsCapacity { link, load, capacity });
            }
        }
        Ok(())
    }

    /// The load of every link at these rates of the subflows.
    fn loads(&self, rates: &[f64]) -> Vec<f64> {
        let mut loads = vec![0.0; self.network.links.len()];
        for (index, links) in self.links.iter().enumerate() {
            for link in *links {
                loads[link.0] += self.network.users[self.owners[index]].count * rates[index];
            }
        }
        loads
    }

    fn rate(&self, point: &[f64], index: usize) -> f64 {
        libm::exp(point[index]) / self.subflows[index].rtt
    }

    /// The signal of every link.
    fn signals(&self, point: &[f64]) -> Vec<f64> {
        (0..self.network.links.len())
            .map(|link| self.chance(link) + self.unknowns[link].map_or(0.0, |at| libm::exp(point[at])))
            .collect()
    }

    /// The signal at which each subflow rests, as logarithm.
    fn log_prices(&self, point: &[f64], regular: f64) -> Vec<f64> {
        let mut subflows = self.subflows.clone();
        for (subflow, &log_window) in subflows.iter_mut().zip(point) {
            subflow.log_window = log_window;
        }
        let mut prices = vec![0.0; subflows.len()];
        for (user, range) in self.network.users.iter().zip(&self.ranges) {
            let least = if user.algorithm.is_degenerate() { REGULAR } else { 0.0 };
            let (members, prices) = (&subflows[range.clone()], &mut prices[range.clone()]);
            let model = self.options.loss_model;
            law::log_prices(user.algorithm, model, regular.max(least), members, prices);
        }
        prices
    }

    /// The error of every equation, and the largest one without its sign.
    fn residual(&self, point: &[f64], regular: f64) -> (Vec<f64>, f64) {
        let mut errors = vec![0.0; point.len()];
        let signals = self.signals(point);
        let prices = self.log_prices(point, regular);
        let mut rates = vec![0.0; self.subflows.len()];
        for (index, price) in prices.into_iter().enumerate() {
            rates[index] = self.rate(point, index);
            let path: f64 = self.links[index].iter().map(|link| signals[link.0]).sum();
            errors[index] = fischer(point[index] - self.lowest[index], libm::log(path) - price);
        }
        for (link, load) in self.loads(&rates).into_iter().enumerate() {
            let Some(at) = self.unknowns[link] else { continue };
            // A link nobody uses is as far from full as can be.
            let log_free = |capacity: f64| libm::log(capacity / load.max(capacity * 1e-12));
            errors[at] = match self.network.links[link].law {
                Law::Free => 0.0,
                Law::Capacity { capacity } => fischer(point[at] - self.lowest[at], log_free(capacity)),
                Law::Power { capacity, exponent } => {
                    fischer(point[at] - self.lowest[at], point[at] + exponent * log_free(capacity))
                }
            };
        }
        let largest =
            errors.iter().fold(
                0.0,
                |largest: f64, error| {
                    if error.is_nan() { f64::INFINITY } else { largest.max(error.abs()) }
                },
            );
        (errors, largest)
    }

    /// A first guess: every subflow has an equal part of its narrowest link.
    fn guess(&mut self) -> Vec<f64> {
        let crowd = self.loads(&vec![1.0; self.subflows.len()]);
        let mut point = vec![0.0; self.subflows.len() + self.unknowns.iter().flatten().count()];
        for (index, slot) in point.iter_mut().enumerate().take(self.subflows.len()) {
            let owner = self.owners[index];
            let count = self.ranges[owner].len() as f64;
            let mut rate = f64::INFINITY;
            let mut loss = 0.0;
            for link in self.links[index] {
                loss += self.chance(link.0);
                if let Law::Capacity { capacity } | Law::Power { capacity, .. } =
                    self.network.links[link.0].law
                {
                    rate = rate.min(capacity / crowd[link.0]);
                }
            }
            let mut window = rate * self.subflows[index].rtt;
            if loss > 0.0 {
                window = window.min((2.0 / loss).sqrt() / count);
            }
            *slot = libm::log(window.max(self.floor() * 1.1));
        }
        let prices = self.log_prices(&point, 1.0);
        self.lowest = vec![libm::log(self.floor()); point.len()];
        for (link, unknown) in self.unknowns.iter().enumerate() {
            let Some(at) = *unknown else { continue };
            let users = || (0..self.links.len()).filter(|&index| self.links[index].contains(&LinkId(link)));
            let count = users().count().max(1) as f64;
            point[at] = users().map(|index| prices[index]).sum::<f64>() / count;
            self.lowest[at] = point[at] - LOG_SIGNAL_RANGE;
        }
        point
    }

    /// The solution, reached by deforming the regular law.
    fn follow(&mut self) -> Result<Vec<f64>, FluidError> {
        let mut point = self.guess();
        let mut at = 2.0;
        for rung in LADDER.into_iter().chain([0.0]) {
            let mut halvings = 0;
            let mut target = rung;
            while at > rung {
                let mut attempt = self.newton(&point, target);
                if at > 1.0 {
                    for shift in GUESS_SHIFTS {
                        if attempt.is_err() {
                            let start = self.shifted(&point, shift);
                            attempt = self.newton(&start, target);
                        }
                    }
                }
                match attempt {
                    Ok(found) => {
                        point = found;
                        at = target;
                        target = rung;
                    }
                    Err(residual) => {
                        halvings += 1;
                        // The first rung has nothing before it to start from.
                        if at > 1.0 || halvings > MAX_HALVINGS || self.steps >= self.options.max_steps {
                            return Err(FluidError::NotConverged {
                                residual,
                                regular: target,
                                steps: self.steps,
                            });
                        }
                        // Halfway between the logarithms; 0 counts as the last rung of an open law.
                        target = (at * target.max(REGULAR)).sqrt();
                    }
                }
            }
        }
        Ok(point)
    }

    /// The same point with the logarithm of every link's signal moved by `shift`.
    fn shifted(&self, point: &[f64], shift: f64) -> Vec<f64> {
        let mut point = point.to_vec();
        for at in self.unknowns.iter().flatten() {
            point[*at] += shift;
        }
        point
    }

    /// Newton's method from `start`; the error at which it got stuck otherwise.
    fn newton(&mut self, start: &[f64], regular: f64) -> Result<Vec<f64>, f64> {
        let mut point = start.to_vec();
        let (mut errors, mut largest) = self.residual(&point, regular);
        for _ in 0..200 {
            if largest <= self.options.tolerance {
                return Ok(point);
            }
            if self.steps >= self.options.max_steps {
                break;
            }
            self.steps += 1;
            let jacobian = self.jacobian(&point, regular);
            let norm = square(&errors);
            // Where Newton's step helps little, the best of Levenberg's is taken.
            let mut better =
                jacobian.solve(&errors).and_then(|step| self.search(&point, &step, norm, regular));
            if better.as_ref().is_none_or(|(_, errors, _)| square(errors) > 0.5 * norm) {
                for damping in DAMPINGS {
                    let found = jacobian
                        .least_squares(&errors, damping)
                        .and_then(|step| self.search(&point, &step, norm, regular));
                    if let Some(found) = found
                        && better.as_ref().is_none_or(|best| square(&found.1) < square(&best.1))
                    {
                        better = Some(found);
                    }
                }
            }
            let Some((next, next_errors, next_largest)) = better else { break };
            (point, errors, largest) = (next, next_errors, next_largest);
        }
        if largest <= self.options.tolerance { Ok(point) } else { Err(largest) }
    }

    /// The first point along `-step` that makes the errors smaller.
    fn search(
        &self,
        point: &[f64],
        step: &[f64],
        norm: f64,
        regular: f64,
    ) -> Option<(Vec<f64>, Vec<f64>, f64)> {
        let longest = step.iter().fold(0.0_f64, |longest, part| longest.max(part.abs()));
        let mut length = if longest > MAX_STEP { MAX_STEP / longest } else { 1.0 };
        for _ in 0..25 {
            let next: Vec<_> = point.iter().zip(step).map(|(at, part)| at - length * part).collect();
            let (errors, largest) = self.residual(&next, regular);
            if largest.is_finite() && square(&errors) <= norm * (1.0 - 1e-4 * length) {
                return Some((next, errors, largest));
            }
            length *= 0.5;
        }
        None
    }

    /// Derivatives of all errors, by central differences.
    fn jacobian(&self, point: &[f64], regular: f64) -> Matrix {
        const STEP: f64 = 1e-6;
        let mut jacobian = Matrix::zeros(point.len());
        let mut moved = point.to_vec();
        for column in 0..point.len() {
            moved[column] = point[column] + STEP;
            let (above, _) = self.residual(&moved, regular);
            moved[column] = point[column] - STEP;
            let (below, _) = self.residual(&moved, regular);
            moved[column] = point[column];
            for row in 0..point.len() {
                jacobian.set(row, column, (above[row] - below[row]) / (2.0 * STEP));
            }
        }
        jacobian
    }

    /// Recomputes the whole shares of wVegas; whether any changed.
    fn update_shares(&mut self, point: &[f64]) -> bool {
        let mut changed = false;
        for (user, range) in self.network.users.iter().zip(&self.ranges) {
            let Algorithm::WVegas { total_alpha, min_alpha, whole: true } = user.algorithm else { continue };
            let total: f64 = range.clone().map(|index| self.rate(point, index)).sum();
            for index in range.clone() {
                let share = whole_share(total_alpha, self.rate(point, index) / total, min_alpha);
                changed |= share != self.subflows[index].alpha;
                self.subflows[index].alpha = share;
            }
        }
        changed
    }

    fn equilibrium(&self, point: &[f64]) -> Equilibrium {
        let signals = self.signals(point);
        let rates: Vec<_> = (0..self.subflows.len()).map(|index| self.rate(point, index)).collect();
        let split = |signal: f64| match self.signal {
            Signal::Loss => (signal, 0.0),
            Signal::Delay => (0.0, signal),
        };
        let chance = |links: &[LinkId]| -> f64 { links.iter().map(|l| self.network.links[l.0].loss).sum() };
        let users = self
            .ranges
            .iter()
            .map(|range| {
                let total: f64 = rates[range.clone()].iter().sum();
                let subflow = |index: usize| {
                    let signal = self.links[index].iter().map(|link| signals[link.0]).sum();
                    let (loss, queueing) = split(signal);
                    let loss = if self.signal == Signal::Delay { chance(self.links[index]) } else { loss };
                    let rtt = self.subflows[index].rtt + queueing;
                    SubflowState {
                        path: self.paths[index],
                        window: rates[index] * rtt,
                        rate: rates[index],
                        share: rates[index] / total,
                        rtt,
                        loss,
                        queueing,
                    }
                };
                UserState { rate: total, subflows: range.clone().map(subflow).collect() }
            })
            .collect();
        let links = self
            .loads(&rates)
            .into_iter()
            .enumerate()
            .map(|(link, load)| {
                let (loss, queueing) = split(signals[link]);
                let loss = if self.signal == Signal::Delay { self.network.links[link].loss } else { loss };
                LinkState { load, loss, queueing }
            })
            .collect();
        Equilibrium { users, links, residual: self.residual(point, 0.0).1, steps: self.steps }
    }
}

/// Zero where both are not negative and one is zero (Fischer 1992); negative if one is.
fn fischer(a: f64, b: f64) -> f64 {
    let norm = (a * a + b * b).sqrt();
    // a + b - norm without cancellation
    if a + b > 0.0 { 2.0 * a * b / (a + b + norm) } else { a + b - norm }
}

fn square(errors: &[f64]) -> f64 {
    errors.iter().map(|error| error * error).sum()
}

/// A wVegas subflow's share in packets with `part` of the connection's rate, as the kernel rounds it.
/// Rates are exact to the tolerance only; a share a hair below a whole number is that number.
fn whole_share(total_alpha: f64, part: f64, min_alpha: f64) -> f64 {
    (total_alpha * part + 1e-6).floor().max(min_alpha)
}
