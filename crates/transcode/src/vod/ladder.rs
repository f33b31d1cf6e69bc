//! Which rungs a picture gets.

use super::{Fit, Preset, Profile, Rate, Rational, Rung, RungPreset, Size};

/// How far a picture may be enlarged, in thousandths: cameras cut a few lines off.
const ENLARGE_MAX_MILLI: u64 = 1020;

/// How far a picture must be above the largest rung that fits to have one of its own size, in thousandths.
const OWN_SIZE_MIN_MILLI: u64 = 1100;

/// Least bit rate of a rung of the source's own size.
const KBPS_MIN: u32 = 150;

/// Rungs for a picture of this size on the screen, largest first; at least one.
pub(super) fn rungs(preset: &Preset, display: Size, frame_rate: Rational) -> Vec<Rung> {
    let mut presets: Vec<&RungPreset> = preset.rungs.iter().collect();
    presets.sort_by_key(|rung| std::cmp::Reverse(rung.short));
    let (fitting, larger): (Vec<&RungPreset>, Vec<&RungPreset>) =
        presets.into_iter().partition(|rung| scale_milli(rung, display) <= ENLARGE_MAX_MILLI);
    let mut rungs: Vec<Rung> = fitting.iter().map(|rung| sized(rung, display, frame_rate)).collect();
    let is_between = fitting.first().is_some_and(|top| {
        !larger.is_empty() && scale_milli(top, display).saturating_mul(OWN_SIZE_MIN_MILLI) < 1_000_000
    });
    if rungs.is_empty() || (preset.keep_source_size && is_between) {
        // What the next larger rung would be given, or the smallest when all are larger: `larger` is sorted, and then not empty.
        if let Some(next) = larger.last() {
            rungs.insert(0, own_size(next, display, frame_rate));
        }
    }
    rungs
}

/// By how much a picture grows to fill the box, in thousandths.
fn scale_milli(rung: &RungPreset, display: Size) -> u64 {
    let by = |room: u32, side: u32| u64::from(room) * 1000 / u64::from(side.max(1));
    by(rung.long, display.long()).min(by(rung.short, display.short()))
}

fn sized(rung: &RungPreset, display: Size, frame_rate: Rational) -> Rung {
    let room = rung.room(display);
    let (size, sample_aspect) = match rung.fit {
        Fit::Fill => (Size { width: even(room.width.into()), height: even(room.height.into()) }, aspect(display, room)),
        Fit::Inside => (inside(display, room), Rational::ONE),
    };
    Rung { name: rung.short.to_string(), size, sample_aspect, profile: rung.profile, rate: rung.rate, frame_rate }
}

/// A rung of the picture's own size, named by the shorter side of the 16:9 box around it, and paid by its area.
fn own_size(next: &RungPreset, display: Size, frame_rate: Rational) -> Rung {
    let size = Size { width: even(display.width.into()), height: even(display.height.into()) };
    let short = even(u64::from(display.short()).max((u64::from(display.long()) * 9).div_ceil(16)));
    let share = (size.pixels() as f64 / (f64::from(next.long) * f64::from(next.short))).min(1.0).powf(0.75);
    let scaled = |kbps: u32| ((f64::from(kbps) * share) as u32).clamp(KBPS_MIN.min(kbps), kbps);
    let rate = match next.rate {
        Rate::Quality { crf, max_kbps } => Rate::Quality { crf, max_kbps: scaled(max_kbps) },
        Rate::Constant { kbps } => Rate::Constant { kbps: scaled(kbps) },
    };
    Rung { name: short.to_string(), size, sample_aspect: Rational::ONE, profile: next.profile, rate, frame_rate }
}

/// As large as goes in, never larger than it is.
pub(super) fn inside(display: Size, room: Size) -> Size {
    let (width, height) = (u64::from(display.width.max(1)), u64::from(display.height.max(1)));
    let (room_width, room_height) = (u64::from(room.width), u64::from(room.height));
    if width <= room_width && height <= room_height {
        return Size { width: even(width), height: even(height) };
    }
    if width * room_height >= height * room_width {
        Size { width: even(room_width), height: nearest_even(height * room_width, width) }
    } else {
        Size { width: nearest_even(width * room_height, height), height: even(room_height) }
    }
}

/// Shape of the pixels of a box that shows a picture undistorted.
fn aspect(display: Size, room: Size) -> Rational {
    let (num, den) =
        (u64::from(display.width) * u64::from(room.height), u64::from(display.height) * u64::from(room.width));
    let (num, den) = (u32::try_from(num).unwrap_or(1), u32::try_from(den).unwrap_or(1));
    Rational::new(num, den).unwrap_or(Rational::ONE)
}

fn nearest_even(num: u64, den: u64) -> u32 {
    even((num + den) / (2 * den) * 2)
}

/// Sides of 4:2:0 pictures are even.
pub(super) fn even(side: u64) -> u32 {
    u32::try_from((side & !1).max(2)).unwrap_or(u32::MAX - 1)
}

/// Frames per second that are encoded: those of the source, divided until the preset allows them, and one at least.
pub(super) fn frame_rate(source: Rational, most: u32) -> Rational {
    // Clocks of cameras are a little off.
    let most = f64::from(most) * 1.005;
    let divisor = (source.as_f64() / most).ceil().max(1.0) as u32;
    match source.divided(divisor) {
        Some(rate) if rate.as_f64() >= 1.0 => rate,
        _ => Rational::ONE,
    }
}

/// Profile by x264's name.
pub(super) fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Main => "main",
        Profile::High => "high",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(preset: &Preset, width: u32, height: u32) -> String {
        let rungs = rungs(preset, Size { width, height }, Rational::new(25, 1).unwrap());
        let text: Vec<String> = rungs
            .iter()
            .map(|rung| format!("{}:{}@{}<={}", rung.name, rung.size, rung.sample_aspect, rung.rate.max_kbps()))
            .collect();
        text.join(" ").replace("@1/1", "")
    }

    #[test]
    fn rungs_are_chosen_by_the_picture() {
        let (lms, live, standard) = (Preset::lms(), Preset::live(), Preset::standard());
        for (preset, width, height, wanted) in [
            (&lms, 1920, 1080, "720:1280x720<=3000 540:960x540<=2000 360:640x360<=1000"),
            (&lms, 640, 360, "360:640x360<=1000"),
            (&lms, 852, 480, "360:640x360<=1000"),
            (&lms, 1080, 1920, "720:720x1280<=3000 540:540x960<=2000 360:360x640<=1000"),
            (&lms, 16, 16, "16:16x16<=150"),
            (&lms, 321, 241, "240:320x240<=438"),
            (&live, 1920, 1080, "1080:1920x1080<=5000 720:1280x720<=3000 480:640x480@4/3<=1500 240:320x240@4/3<=750"),
            (&live, 720, 1280, "720:720x1280<=3000 480:480x640@3/4<=1500 240:240x320@3/4<=750"),
            (
                &standard,
                3840,
                2160,
                "2160:3840x2160<=16000 1080:1920x1080<=6000 720:1280x720<=3200 540:960x540<=1800 360:640x360<=900",
            ),
            (&standard, 1920, 804, "1080:1920x804<=6000 720:1280x536<=3200 540:960x402<=1800 360:640x268<=900"),
            (&standard, 1912, 1072, "1080:1912x1072<=6000 720:1280x718<=3200 540:960x538<=1800 360:640x358<=900"),
            (&standard, 852, 480, "480:852x480<=1506 360:640x360<=900"),
            (&standard, 1706, 720, "960:1706x720<=4051 720:1280x540<=3200 540:960x406<=1800 360:640x270<=900"),
            (&standard, 320, 240, "240:320x240<=394"),
            (
                &standard,
                7680,
                4320,
                "2160:3840x2160<=16000 1080:1920x1080<=6000 720:1280x720<=3200 540:960x540<=1800 360:640x360<=900",
            ),
        ] {
            assert_eq!(ladder(preset, width, height), wanted, "{} {width}x{height}", preset.name);
        }
    }

    #[test]
    fn frame_rates_are_divided_by_whole_numbers() {
        for (source, most, wanted) in [
            ("30000/1001", 60, "30000/1001"),
            ("240", 60, "60/1"),
            ("120000/1001", 60, "60000/1001"),
            ("144", 60, "48/1"),
            ("60", 30, "30/1"),
            ("50", 30, "25/1"),
            ("1", 60, "1/1"),
            ("1/10", 60, "1/1"),
            ("60200/1000", 60, "301/5"),
        ] {
            assert_eq!(frame_rate(source.parse().unwrap(), most).to_string(), wanted, "{source}");
        }
    }
}
