//! Points of secp256k1, y² = x³ + 7, eight at once.
//!
//! In the ladder a point is (X/Z², Y/Z³) (Jacobian coordinates; Hankerson, Menezes and Vanstone, section 3.2). The
//! formulas leave the negative of what they are named after: that saves a negation in each, and whoever calls them
//! counts.
//!
//! - **C1.** Once Z is zero, it stays zero; and Z becomes zero where a formula does not hold, because the points that
//!   are added are the same, or one is the other's negative. (No point has y = 0, since the order of the group is
//!   odd.) `blinding_changes_nothing_*` in the tests adds such points on purpose.

use std::arch::x86_64::__mmask8;

use super::field::{Exact, Loose, splat};
use super::power::roots;
use super::words::{Row, from_words, load};

/// A point with Z = 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Affine {
    /// x.
    pub(super) x: Exact<1>,
    /// y.
    pub(super) y: Exact<1>,
}

/// A point in Jacobian coordinates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Jacobian {
    /// X.
    pub(super) x: Exact<5>,
    /// Y.
    pub(super) y: Exact<1>,
    /// Z.
    pub(super) z: Exact<1>,
}

/// β, a cube root of one: λ·(x, y) = (β·x, y).
const BETA: [u64; 5] =
    [0x9_6c28_7195_01ee, 0x7_512f_5899_5c13, 0xc_3434_e99c_f049, 0x7106_e644_79ea, 0x7ae9_6a2b_657c];

impl Jacobian {
    /// −2·`self`.
    ///
    /// With L = 3/2·X², S = Y² and N = X·S: X' = L² − 2N, −Y' = L·(X' − N) + S², Z' = Y·Z.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    #[expect(clippy::many_single_char_names, reason = "the letters of the formula")]
    pub(super) fn doubled_negated(&self) -> Self {
        let square = self.x.squared();
        let s = self.y.squared();
        let z = self.y.times(&self.z);
        let slope: Loose<3> = square.three_halves();
        let slope = slope.carried();
        let n = self.x.times(&s);
        let two_n: Loose<2> = n.plus(&n);
        let x: Loose<4> = slope.squared().minus_sum(&two_n);
        let x = x.carried();
        let fall: Loose<6> = x.minus(&n);
        let y = slope.times_plus_square(&fall.carried(), &s);
        Self { x: x.widened(), y, z }
    }

    /// −(`self` + `other`), with the other one's negative in the lanes of `negative`.
    ///
    /// With U = x·Z², S = ±y·Z³, H = U − X, R = S − Y, V = X·H²: X' = R² − H³ − 2V, −Y' = R·(X' − V) + Y·H³, Z' = Z·H.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    #[expect(clippy::many_single_char_names, reason = "the letters of the formula")]
    pub(super) fn plus_negated(&self, x: &Exact<1>, y: &Exact<1>, negative: __mmask8) -> Self {
        let zz = self.z.squared();
        let zzz = zz.times(&self.z);
        let u = x.times(&zz);
        let h: Loose<7> = u.minus(&self.x);
        let h = h.carried();
        let s: Loose<2> = y.times(&zzz).with_sign(negative);
        let hh = h.squared();
        let r: Loose<4> = s.minus(&self.y);
        let r = r.carried();
        let hhh = hh.times(&h);
        let v = self.x.times(&hh);
        let z = self.z.times(&h);
        let rr = r.squared();
        let two_v: Loose<2> = v.plus(&v);
        let less: Loose<3> = two_v.plus(&hhh);
        let x: Loose<5> = rr.minus_sum(&less);
        let x = x.carried();
        let fall: Loose<7> = x.minus(&v);
        let y = r.times_plus_product(&fall.carried(), &self.y, &hhh);
        Self { x, y, z }
    }
}

impl Affine {
    /// The same point in Jacobian coordinates.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn to_jacobian(self) -> Jacobian {
        Jacobian { x: self.x.widened(), y: self.y, z: Exact::splat([1, 0, 0, 0, 0]) }
    }

    /// x of λ·`self`; y is the same.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn endomorphism_x(&self) -> Exact<1> {
        self.x.times(&Exact::<1>::splat(BETA))
    }

    /// What must be inverted to add `other`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn run_to(&self, other: &Self) -> Exact<3> {
        let run: Loose<3> = other.x.minus(&self.x);
        run.carried()
    }

    /// What must be inverted to double.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn run_to_self(&self) -> Exact<3> {
        let run: Loose<3> = self.y.plus(&self.y);
        run.carried()
    }

    /// `self` + `other`, which are neither the same nor negatives of each other.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn plus(&self, other: &Self, inverse_run: &Exact<1>) -> Self {
        let rise: Loose<3> = other.y.minus(&self.y);
        self.third_on_line(other, &rise.carried(), inverse_run)
    }

    /// 2·`self`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn doubled(&self, inverse_run: &Exact<1>) -> Self {
        let square = self.x.squared();
        let two: Loose<2> = square.plus(&square);
        let rise: Loose<3> = two.plus(&square);
        self.third_on_line(self, &rise.carried(), inverse_run)
    }

    /// The negative of the third point on the line through `self` and `other`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn third_on_line(&self, other: &Self, rise: &Exact<3>, inverse_run: &Exact<1>) -> Self {
        let slope = rise.times(inverse_run);
        let both: Loose<2> = self.x.plus(&other.x);
        let x: Loose<4> = slope.squared().minus_sum(&both);
        let x = x.carried().narrowed();
        let run: Loose<3> = self.x.minus(&x);
        let y: Loose<3> = slope.times(&run.carried()).minus(&self.y);
        Self { x, y: y.carried().narrowed() }
    }
}

/// The same point in all lanes.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn broadcast(row: &Row) -> Affine {
    let [x0, x1, x2, x3, y0, y1, y2, y3] = row.map(|word| splat(word));
    Affine { x: from_words([x0, x1, x2, x3]), y: from_words([y0, y1, y2, y3]) }
}

/// A point for each lane.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn gathered(points: &[Row; 8]) -> Affine {
    let column = |word: usize| load(&points.map(|point| point[word]));
    Affine { x: from_words([0, 1, 2, 3].map(column)), y: from_words([4, 5, 6, 7].map(column)) }
}

/// Points that were looked for by their x.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifted {
    /// What was found, and anything in the other lanes.
    pub(super) point: Affine,
    /// The lanes in which there is a point.
    pub(super) found: __mmask8,
    /// The lanes in which there is none.
    pub(super) absent: __mmask8,
}

/// The points with these x and with y of the parity asked for.
///
/// Where x³ + 7 has no root, the power taken for one is a root of −(x³ + 7). That is proof, since −1 has no root.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn lifted<const K: usize>(x: &[Exact<1>; K], odd: &[__mmask8; K]) -> [Lifted; K] {
    let mut cubes_and_7 = *x;
    for number in &mut cubes_and_7 {
        let cube = number.squared().times(number);
        let with_seven: Loose<2> = cube.plus(&Exact::<1>::splat([7, 0, 0, 0, 0]));
        *number = with_seven.carried().narrowed();
    }
    let roots = roots(&cubes_and_7);
    let nothing = Lifted { point: Affine { x: x[0], y: x[0] }, found: 0, absent: 0 };
    let mut points = [nothing; K];
    for (place, point) in points.iter_mut().enumerate() {
        let (root, wanted) = (roots[place], cubes_and_7[place]);
        let square = root.squared();
        let (difference, sum): (Loose<3>, Loose<2>) = (square.minus(&wanted), square.plus(&wanted));
        let y: Loose<2> = root.with_sign(root.odd() ^ odd[place]);
        *point = Lifted {
            point: Affine { x: x[place], y: y.carried().narrowed() },
            found: difference.carried().zeros(),
            absent: sum.carried().zeros(),
        };
    }
    points
}
