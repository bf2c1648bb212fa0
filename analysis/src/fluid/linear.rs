//! Small dense systems of linear equations.

/// A square matrix, row by row.
#[derive(Clone, Debug)]
pub(super) struct Matrix {
    size: usize,
    entries: Vec<f64>,
}

impl Matrix {
    pub(super) fn zeros(size: usize) -> Self {
        Self { size, entries: vec![0.0; size * size] }
    }

    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        self.entries[row * self.size + column]
    }

    pub(super) fn set(&mut self, row: usize, column: usize, value: f64) {
        self.entries[row * self.size + column] = value;
    }

    /// The solution of `self * x = right` by Gaussian elimination with row pivoting; `None` if a
    /// pivot is below 1e-13 of the largest entry.
    pub(super) fn solve(&self, right: &[f64]) -> Option<Vec<f64>> {
        let (size, mut a, mut x) = (self.size, self.clone(), right.to_vec());
        let largest = self.entries.iter().fold(0.0_f64, |largest, entry| largest.max(entry.abs()));
        for column in 0..size {
            let pivot =
                (column..size).max_by(|&i, &j| a.at(i, column).abs().total_cmp(&a.at(j, column).abs()))?;
            if a.at(pivot, column).is_nan() || a.at(pivot, column).abs() <= 1e-13 * largest {
                return None;
            }
            if pivot != column {
                for k in 0..size {
                    a.entries.swap(pivot * size + k, column * size + k);
                }
                x.swap(pivot, column);
            }
            for row in column + 1..size {
                let factor = a.at(row, column) / a.at(column, column);
                if factor != 0.0 {
                    for k in column..size {
                        let value = a.at(row, k) - factor * a.at(column, k);
                        a.set(row, k, value);
                    }
                    x[row] -= factor * x[column];
                }
            }
        }
        for row in (0..size).rev() {
            let known: f64 = (row + 1..size).map(|k| a.at(row, k) * x[k]).sum();
            x[row] = (x[row] - known) / a.at(row, row);
        }
        x.iter().all(|value| value.is_finite()).then_some(x)
    }

    /// The `x` that minimises `|self * x - right|^2 + damping * |x|^2` (Levenberg 1944).
    pub(super) fn least_squares(&self, right: &[f64], damping: f64) -> Option<Vec<f64>> {
        let mut normal = Self::zeros(self.size);
        let mut projected = vec![0.0; self.size];
        for (i, slot) in projected.iter_mut().enumerate() {
            for j in 0..self.size {
                let product: f64 = (0..self.size).map(|k| self.at(k, i) * self.at(k, j)).sum();
                normal.set(i, j, if i == j { product + damping } else { product });
            }
            *slot = (0..self.size).map(|k| self.at(k, i) * right[k]).sum();
        }
        normal.solve(&projected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: &[[f64; 3]; 3]) -> Matrix {
        Matrix { size: 3, entries: rows.concat() }
    }

    #[test]
    fn a_system_that_needs_pivoting_is_solved() {
        let a = matrix(&[[0.0, 2.0, 1.0], [1.0, -2.0, -3.0], [-1.0, 1.0, 2.0]]);
        let x = a.solve(&[-8.0, 0.0, 3.0]).unwrap();
        for (value, expected) in x.into_iter().zip([-4.0, -5.0, 2.0]) {
            assert!((value - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn a_singular_system_has_a_shortest_answer_only() {
        let a = matrix(&[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        assert!(a.solve(&[2.0, 2.0, 5.0]).is_none());
        let x = a.least_squares(&[2.0, 2.0, 5.0], 1e-9).unwrap();
        for (value, expected) in x.into_iter().zip([1.0, 1.0, 5.0]) {
            assert!((value - expected).abs() < 1e-6);
        }
    }
}
