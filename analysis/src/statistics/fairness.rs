//! Fairness, friendliness and convergence of rates.

use super::usable;

/// Jain's index `(sum x)^2 / (n sum x^2)` of allocations, which are not negative: 1 if all are equal, 1/n
/// if one has all (Jain, Chiu and Hawe 1984). `None` if all are zero.
#[must_use]
pub fn jain_index(allocations: &[f64]) -> Option<f64> {
    if !usable(allocations) || allocations.iter().any(|&x| x < 0.0) {
        return None;
    }
    // Scaled by the largest, so that no square overflows or vanishes.
    let largest = allocations.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return None;
    }
    let sum: f64 = allocations.iter().map(|x| x / largest).sum();
    let squares: f64 = allocations.iter().map(|x| (x / largest) * (x / largest)).sum();
    Some((sum * sum / (allocations.len() as f64 * squares)).min(1.0))
}

/// Jain's index of allocations divided by what would be fair for each, where fair shares, above 0, differ
/// (Jain, Chiu and Hawe 1984).
#[must_use]
pub fn normalised_jain_index(allocations: &[f64], fair: &[f64]) -> Option<f64> {
    if allocations.len() != fair.len() || !usable(fair) || fair.iter().any(|&share| share <= 0.0) {
        return None;
    }
    let normalised: Vec<_> = allocations.iter().zip(fair).map(|(x, share)| x / share).collect();
    jain_index(&normalised)
}

/// The rate of the multipath flow over that of the single-path flow beside it (above 0): 1 is what RFC
/// 6356, section 1, asks for at a shared bottleneck.
#[must_use]
pub fn throughput_ratio(multipath: f64, single_path: f64) -> Option<f64> {
    let ratio = multipath / single_path;
    (single_path > 0.0 && multipath >= 0.0 && ratio.is_finite()).then_some(ratio)
}

/// What single-path flows keep beside a multipath flow of what they have beside another TCP in its place
/// (the latter above 0): 1 is no harm done, less is harm (goal 2 of RFC 6356, section 1; "do no harm").
#[must_use]
pub fn friendliness(beside_multipath: f64, beside_tcp: f64) -> Option<f64> {
    throughput_ratio(beside_multipath, beside_tcp)
}

/// The aggregation benefit of a goodput over paths of these capacities (Kaspar 2012; Paasch, Ferlin, Alay
/// and Bonaventure 2014): 0 is the best single path, 1 the sum of all, -1 nothing. `None` with fewer than
/// two paths of capacity above 0.
#[must_use]
pub fn aggregation_benefit(goodput: f64, capacities: &[f64]) -> Option<f64> {
    if !usable(capacities) || !goodput.is_finite() || capacities.iter().any(|&c| c < 0.0) {
        return None;
    }
    let best = capacities.iter().copied().fold(0.0, f64::max);
    let sum: f64 = capacities.iter().sum();
    if best <= 0.0 || sum <= best {
        return None;
    }
    Some((goodput - best) / if goodput >= best { sum - best } else { best })
}

/// When a series `(time, value)`, in order of time, has reached `target` for good: the time of the first
/// sample from which on all are within `tolerance * |target|` of it and at least `hold` passes until the
/// last. `None` if that never happens.
#[must_use]
pub fn convergence_time(series: &[(f64, f64)], target: f64, tolerance: f64, hold: f64) -> Option<f64> {
    let (last, _) = *series.last()?;
    let away = |value: f64| {
        let off = (value - target).abs();
        off.is_nan() || off > tolerance * target.abs()
    };
    let settled = series.iter().rposition(|&(_, value)| away(value)).map_or(0, |index| index + 1);
    let (time, _) = *series.get(settled)?;
    (last - time >= hold).then_some(time)
}
