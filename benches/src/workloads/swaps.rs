//! Swaps through a router on pools of two tokens each.

use std::ops::Range;

use alloy_primitives::{Address, U256};

use super::tokens::{self, BALANCE};
use super::{Plan, Scale};
use crate::contracts::{Code, balance_slot, call, entry, word};
use crate::random::Random;
use crate::scene::{Scene, Sent, Workload};

/// Swaps in a gas of 10⁹.
const GIGAGAS: usize = 6_413;
/// Gas limit of a swap.
const SWAP_GAS: u64 = 600_000;
/// Distance of ticks that can have liquidity, as in the contract.
const SPACING: i64 = 60;
/// Ticks with liquidity on either side of the price.
const TICKS: usize = 8;
/// Liquidity at the price.
const LIQUIDITY: u64 = 1_000_000_000_000_000_000;
/// What is sold at a time: it moves the price over two ticks.
const AMOUNT: u64 = 5_000_000_000_000_000;
/// Slot of `state`.
const STATE: u64 = 2;
/// First of the two slots of `growth`.
const GROWTH: u64 = 3;
/// Slot of `liquidity`.
const LIQUIDITY_SLOT: u64 = 5;
/// Slot of `ticks`.
const TICKS_SLOT: u64 = 6;
/// Slot of `bitmap`.
const BITMAP_SLOT: u64 = 7;
/// Slot of `observations`.
const OBSERVATIONS_SLOT: u64 = 8;
/// Time of the last observation, before the block.
const OBSERVED: u64 = 1_799_999_000;

/// Adds the workloads.
pub(super) fn plan(scale: Scale, plans: &mut Vec<Plan>) {
    let gigagas = scale.of(GIGAGAS);
    plans.push(Plan::new("swap/independent", move |name| swaps(name, gigagas, 1, 1)));
    let traders = scale.of(20);
    plans.push(Plan::new("swap/clusters", move |name| swaps(name, 20, traders, 10)));
    plans.push(Plan::new("swap/one-pool", move |name| swaps(name, 1, gigagas, 1)));
}

/// Pools, each with traders of its own who swap so many times, now one way and now the other.
pub(super) fn swaps(name: String, pools: usize, traders: usize, times: usize) -> Workload {
    let mut scene = Scene::new(pools * traders);
    let router = tokens::address(0xa0, 0);
    scene.deploy(router, &Code::router());
    let mut order: Vec<usize> = (0..pools * traders * times).map(|number| number / times).collect();
    Random::new(2).shuffle(&mut order);
    let addresses: Vec<Address> = (0..pools)
        .map(|pool| deploy(&mut scene, router, pool, pool * traders..(pool + 1) * traders))
        .collect();
    let mut sides = vec![false; pools];
    for trader in order {
        let pool = trader / traders;
        sides[pool] ^= true;
        let arguments = [word(addresses[pool]), U256::from(sides[pool]), U256::from(AMOUNT), U256::ZERO];
        let input = call("swap(address,bool,uint256,uint256)", arguments);
        scene.send(Sent::call(trader, router, input, SWAP_GAS));
    }
    scene.finish(name)
}

/// Puts a pool and its tokens into the scene; these people may trade.
fn deploy(scene: &mut Scene, router: Address, number: usize, traders: Range<usize>) -> Address {
    let pool = tokens::address(0x90, number);
    let sold = [2 * number, 2 * number + 1].map(|token| tokens::deploy(scene, token, traders.clone()));
    for token in sold {
        scene.account(token).storage.insert(balance_slot(pool), BALANCE);
        for trader in traders.clone() {
            tokens::allow(scene, token, trader, router);
        }
    }
    let storage = &mut scene.deploy(pool, &Code::pool()).storage;
    let mut put = |slot: U256, value: U256| {
        storage.insert(slot, value);
    };
    put(U256::ZERO, word(sold[0]));
    put(U256::ONE, word(sold[1]));
    // Price one, tick zero, first observation; fees were earned before.
    put(U256::from(STATE), U256::ONE << 96);
    put(U256::from(GROWTH), U256::from(1_000_000));
    put(U256::from(GROWTH + 1), U256::from(1_000_000));
    put(U256::from(LIQUIDITY_SLOT), U256::from(LIQUIDITY));
    put(entry(U256::ZERO, U256::from(OBSERVATIONS_SLOT)), U256::from(OBSERVED));
    let bits = |place: fn(usize) -> usize| {
        (1..=TICKS).fold(U256::ZERO, |bits, tick| bits | U256::ONE << place(tick))
    };
    put(entry(U256::ZERO, U256::from(BITMAP_SLOT)), bits(|tick| tick));
    put(entry(U256::MAX, U256::from(BITMAP_SLOT)), bits(|tick| 256 - tick));
    let side = (1..).take(TICKS);
    for index in side.clone().map(|tick: i64| -tick).chain(side) {
        let slot = entry(signed(index * SPACING), U256::from(TICKS_SLOT));
        // Gross liquidity below, net liquidity above: a unit comes in below the price and goes out above it.
        let net = signed(-index.signum()) << 128;
        put(slot, net | U256::ONE);
        put(slot + U256::ONE, U256::from(1_000));
        put(slot + U256::from(2), U256::from(1_000));
    }
    pool
}

/// A number in two's complement.
fn signed(number: i64) -> U256 {
    let magnitude = U256::from(number.unsigned_abs());
    if number < 0 { U256::ZERO.wrapping_sub(magnitude) } else { magnitude }
}
