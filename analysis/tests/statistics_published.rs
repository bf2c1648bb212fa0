//! Statistics against printed tables, closed forms and worked examples of the literature.

use analysis::statistics::{
    Distribution, Estimate, Interval, aggregation_benefit, bootstrap, convergence_time, difference, estimate,
    friendliness, jain_index, kolmogorov_smirnov, mean, median, normalised_jain_index, quantile, smirnov,
    standard_deviation, student, throughput_ratio, variance,
};
use sim_core::random::Streams;

#[track_caller]
fn assert_close(value: f64, expected: f64, tolerance: f64) {
    assert!((value - expected).abs() <= tolerance, "{value} is not {expected}");
}

#[test]
fn t_quantiles_match_the_table() {
    // Percentage points of the t distribution, as in the NIST/SEMATECH handbook, section 1.3.6.7.2, with
    // more digits.
    let table = [
        (1.0, [6.313_751_515, 12.706_204_736, 63.656_741_163]),
        (2.0, [2.919_985_580, 4.302_652_730, 9.924_843_201]),
        (3.0, [2.353_363_435, 3.182_446_305, 5.840_909_310]),
        (4.0, [2.131_846_786, 2.776_445_105, 4.604_094_871]),
        (5.0, [2.015_048_373, 2.570_581_836, 4.032_142_984]),
        (9.0, [1.833_112_933, 2.262_157_163, 3.249_835_542]),
        (10.0, [1.812_461_123, 2.228_138_852, 3.169_272_673]),
        (20.0, [1.724_718_243, 2.085_963_447, 2.845_339_710]),
        (30.0, [1.697_260_887, 2.042_272_456, 2.749_995_654]),
        (120.0, [1.657_650_899, 1.979_930_405, 2.617_421_145]),
    ];
    for (degrees, row) in table {
        for (p, expected) in [0.95, 0.975, 0.995].into_iter().zip(row) {
            assert_close(student::quantile(p, degrees).unwrap(), expected, 1e-6);
            assert_close(student::quantile(1.0 - p, degrees).unwrap(), -expected, 1e-6);
            assert_close(student::cdf(expected, degrees).unwrap(), p, 1e-9);
        }
    }
}

#[test]
fn t_with_many_degrees_is_normal() {
    assert_close(student::quantile(0.975, 1e9).unwrap(), 1.959_963_985, 1e-6);
    assert_close(student::quantile(0.95, 1e9).unwrap(), 1.644_853_627, 1e-6);
}

#[test]
fn t_quantiles_are_continuous_where_the_series_takes_over() {
    for (degrees, expected) in [(39.0, 2.022_691), (40.0, 2.021_075), (41.0, 2.019_541)] {
        assert_close(student::quantile(0.975, degrees).unwrap(), expected, 1e-6);
    }
    let below = student::quantile(0.975, 40.0 - 1e-9).unwrap();
    assert_close(student::quantile(0.975, 40.0).unwrap(), below, 1e-9);
}

#[test]
fn t_with_two_degrees_has_a_closed_form() {
    for p in [0.5, 0.51, 0.6, 0.9, 0.999, 0.999_999] {
        let expected = (2.0 * p - 1.0) / (2.0 * p * (1.0_f64 - p)).sqrt();
        assert_close(student::quantile(p, 2.0).unwrap(), expected, 1e-9 * (1.0 + expected));
    }
}

#[test]
fn t_outside_its_range_has_no_quantile() {
    for (p, degrees) in [(0.0, 5.0), (1.0, 5.0), (f64::NAN, 5.0), (0.9, 0.0), (0.9, f64::INFINITY)] {
        assert_eq!(student::quantile(p, degrees), None);
    }
}

#[test]
fn the_interval_of_students_sleep_data() {
    // Student (1908), Cushny and Peebles' data: additional hours of sleep, second drug less first.
    let gain = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
    let result = estimate(&gain, 0.95).unwrap();
    assert_close(result.mean, 1.58, 1e-12);
    assert_close(result.standard_deviation, 1.229_995_5, 1e-7);
    assert_close(result.interval().low, 0.700_114_2, 1e-7);
    assert_close(result.interval().high, 2.459_885_8, 1e-7);
    assert_eq!(estimate(&gain[..1], 0.95), None);
    assert_eq!(estimate(&gain, 1.0), None);
}

#[test]
fn variance_survives_a_large_mean() {
    // NIST StRD, data set NumAcc4: mean 10000000.2, standard deviation 0.1 exactly.
    let samples: Vec<f64> = std::iter::once(10_000_000.2)
        .chain((0..1000).map(|i| if i % 2 == 0 { 10_000_000.1 } else { 10_000_000.3 }))
        .collect();
    assert_close(mean(&samples).unwrap(), 10_000_000.2, 1e-8);
    assert_close(standard_deviation(&samples).unwrap(), 0.1, 1e-8);
}

#[test]
fn quantiles_are_those_of_type_7() {
    let samples = [7.0, 1.0, 10.0, 3.0, 5.0, 2.0, 9.0, 4.0, 6.0, 8.0];
    for (p, expected) in [(0.0, 1.0), (0.1, 1.9), (0.25, 3.25), (0.5, 5.5), (0.75, 7.75), (1.0, 10.0)] {
        assert_close(quantile(&samples, p).unwrap(), expected, 1e-12);
    }
    assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(quantile(&samples, 1.1), None);
    assert_eq!(quantile(&[4.0], 0.3), Some(4.0));
}

#[test]
fn the_distribution_function_steps_once_for_each_value() {
    let distribution = Distribution::new(&[2.0, 1.0, 2.0, 5.0]).unwrap();
    assert_eq!(distribution.steps().collect::<Vec<_>>(), [(1.0, 0.25), (2.0, 0.75), (5.0, 1.0)]);
    assert_eq!([0.9, 1.0, 4.9, 5.0].map(|x| distribution.cdf(x)), [0.0, 0.25, 0.75, 1.0]);
}

#[test]
fn samples_that_are_no_numbers_have_no_statistics() {
    for samples in [&[][..], &[f64::NAN, 1.0], &[f64::INFINITY]] {
        assert_eq!(mean(samples), None);
        assert_eq!(variance(samples), None);
        assert_eq!(quantile(samples, 0.5), None);
        assert_eq!(jain_index(samples), None);
        assert_eq!(kolmogorov_smirnov(samples, &[1.0]), None);
    }
    assert_eq!(variance(&[1.0]), None);
}

#[test]
fn bootstrap_error_of_the_mouse_data() {
    // Efron and Tibshirani (1993), tables 2.1 and 2.2: standard errors of means for infinitely many
    // resamples.
    for (samples, expected) in [
        (&[94.0, 197.0, 16.0, 38.0, 99.0, 141.0, 23.0][..], 23.36),
        (&[52.0, 104.0, 146.0, 10.0, 50.0, 31.0, 40.0, 27.0, 46.0], 13.33),
    ] {
        let mut stream = Streams::new(1).stream("mice");
        let result = bootstrap(samples, |s| mean(s).unwrap(), 20_000, 0.95, &mut stream).unwrap();
        assert_close(result.standard_error, expected, 0.02 * expected);
        assert!(result.interval.contains(result.value));
        let width = result.interval.high - result.interval.low;
        assert_close(width, 2.0 * 1.96 * expected, 0.1 * width);
    }
}

#[test]
fn the_same_seed_gives_the_same_interval() {
    let samples = [3.0, 9.0, 4.0, 1.0, 7.0];
    let run = |seed| {
        let mut stream = Streams::new(seed).stream("boot");
        bootstrap(&samples, |s| median(s).unwrap(), 500, 0.9, &mut stream).unwrap()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).standard_error, run(8).standard_error);
}

#[test]
fn jain_index_of_the_report() {
    // Jain, Chiu and Hawe (1984): 20 dollars among 100 people, 1 each to 20 of them.
    let mut dollars = vec![0.0; 100];
    dollars[..20].fill(1.0);
    assert_close(jain_index(&dollars).unwrap(), 0.2, 1e-12);
    assert_close(jain_index(&[50.0, 30.0, 50.0]).unwrap(), 130.0 * 130.0 / (3.0 * 5900.0), 1e-12);
    assert_close(jain_index(&[1e-200, 1e-200]).unwrap(), 1.0, 1e-12);
    assert_close(normalised_jain_index(&[50.0, 30.0, 50.0], &[50.0, 10.0, 50.0]).unwrap(), 0.757_575_8, 1e-7);
    assert_eq!(jain_index(&[0.0, 0.0]), None);
    assert_eq!(jain_index(&[1.0, -1.0]), None);
    assert_eq!(normalised_jain_index(&[1.0], &[0.0]), None);
}

#[test]
fn exact_tails_of_equal_sizes_are_the_closed_form() {
    // Gnedenko and Korolyuk (1951): P(D >= k/n) = 2 sum (-1)^(i-1) C(2n, n - ik) / C(2n, n)
    let choose = |n: u32, k: u32| (0..k).fold(1.0, |c, i| c * f64::from(n - i) / f64::from(i + 1));
    let n = 9_u32;
    let ranks: Vec<_> = (0..n).map(f64::from).collect();
    for k in 1..=n {
        let shifted: Vec<_> = ranks.iter().map(|rank| rank + f64::from(k) - 0.5).collect();
        let result = kolmogorov_smirnov(&ranks, &shifted).unwrap();
        assert!(result.exact);
        assert_close(result.distance, f64::from(k) / f64::from(n), 1e-12);
        let expected: f64 =
            (1..=n / k).map(|i| choose(2 * n, n - i * k) * if i % 2 == 1 { 2.0 } else { -2.0 }).sum::<f64>()
                / choose(2 * n, n);
        assert_close(result.p_value, expected, 1e-12);
    }
}

#[test]
fn exact_tails_of_unequal_sizes_count_the_orders() {
    // 3 and 2 samples: of 10 orders, 2 separate them completely; 4 more reach 2/3.
    let result = kolmogorov_smirnov(&[1.0, 2.0, 3.0], &[4.0, 5.0]).unwrap();
    assert_close(result.distance, 1.0, 0.0);
    assert_close(result.p_value, 0.2, 1e-12);
    let result = kolmogorov_smirnov(&[1.0, 2.0, 4.0], &[3.0, 5.0]).unwrap();
    assert_close(result.distance, 2.0 / 3.0, 1e-12);
    assert_close(result.p_value, 0.6, 1e-12);
    let same = kolmogorov_smirnov(&[1.0, 2.0], &[1.0, 2.0]).unwrap();
    assert_eq!((same.distance, same.p_value), (0.0, 1.0));
}

#[test]
fn limits_match_smirnovs_table() {
    // Smirnov (1948), Annals of Mathematical Statistics 19, table of L(z); critical values in any textbook.
    for (x, tail) in [
        (0.5, 0.963_945),
        (0.8, 0.544_142),
        (1.0, 0.270_000),
        (1.223_848, 0.1),
        (1.358_099, 0.05),
        (1.627_624, 0.01),
        (2.0, 0.000_671),
    ] {
        assert_close(smirnov::limit_tail(x), tail, 1e-6);
    }
    assert_close(smirnov::limit_tail(1.0 - 1e-12), smirnov::limit_tail(1.0), 1e-9);
}

#[test]
fn large_samples_use_the_limit() {
    let first: Vec<_> = (0..200).map(f64::from).collect();
    let second: Vec<_> = (0..200).map(|i| f64::from(i) + 20.5).collect();
    let result = kolmogorov_smirnov(&first, &second).unwrap();
    assert!(!result.exact);
    assert_close(result.distance, 0.105, 1e-12);
    assert_close(result.p_value, smirnov::limit_tail(1.05), 1e-12);
}

#[test]
fn ratios_and_benefits() {
    assert_eq!(throughput_ratio(3.0, 2.0), Some(1.5));
    assert_eq!(throughput_ratio(3.0, 0.0), None);
    assert_eq!(friendliness(40.0, 50.0), Some(0.8));
    for (goodput, expected) in [(10.0, 1.0), (8.0, 0.0), (9.0, 0.5), (4.0, -0.5), (0.0, -1.0)] {
        assert_close(aggregation_benefit(goodput, &[8.0, 2.0]).unwrap(), expected, 1e-12);
    }
    assert_eq!(aggregation_benefit(1.0, &[8.0]), None);
}

#[test]
fn convergence_is_final_and_must_hold() {
    let series = [(0.0, 0.0), (1.0, 10.0), (2.0, 3.0), (3.0, 9.6), (4.0, 10.3), (5.0, 9.9)];
    assert_eq!(convergence_time(&series, 10.0, 0.05, 1.0), Some(3.0));
    assert_eq!(convergence_time(&series, 10.0, 0.05, 2.5), None);
    assert_eq!(convergence_time(&series, 10.0, 0.01, 0.0), Some(5.0));
    assert_eq!(convergence_time(&series, 20.0, 0.05, 0.0), None);
    assert_eq!(convergence_time(&series, 10.0, 2.0, 0.0), Some(0.0));
    assert_eq!(convergence_time(&[], 10.0, 2.0, 0.0), None);
}

#[test]
fn the_interval_of_a_difference_is_that_of_welch() {
    let first = Estimate { count: 2, mean: 3.0, standard_deviation: 2.0_f64.sqrt(), half_width: 0.0 };
    let second = Estimate { count: 3, mean: 1.0, standard_deviation: 0.0, half_width: 0.0 };
    // Variance 2/2 = 1 with one degree of freedom: 12.706 to either side.
    let interval = difference(&first, &second, 0.95).unwrap();
    assert!((interval.low - (2.0 - 12.706_204_7)).abs() < 1e-6, "{interval:?}");
    assert!((interval.high - (2.0 + 12.706_204_7)).abs() < 1e-6, "{interval:?}");
    assert_eq!(difference(&second, &second, 0.95), Some(Interval { low: 0.0, high: 0.0 }));
    assert_eq!(difference(&first, &second, 1.0), None);
}
