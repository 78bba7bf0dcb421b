//! The learning curves.

use std::ops::Range;

use plotters::coord::types::{RangedCoordf64, RangedCoordu64};
use plotters::prelude::*;

use super::{FONT, INK, failed};
use crate::error::Result;
use crate::history::EpochRecord;

/// Of the colours of Okabe and Ito, which differ for colour-blind readers too.
const TRAIN: RGBColor = RGBColor(0, 114, 178);
const TEST: RGBColor = RGBColor(213, 94, 0);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// The loss and the accuracy over the epochs, trained on and held out, one chart under the other.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn learning_curves(history: &[EpochRecord]) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (720, 640)).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let halves = area.split_evenly((2, 1));
        let legend = SeriesLabelPosition::UpperRight;
        let loss = Chart {
            name: "loss",
            unit: 1.0,
            low: f64::INFINITY,
            high: 0.0,
            legend,
        };
        loss.draw(&halves[0], history, |r| [r.train_loss, r.test_loss])?;
        let legend = SeriesLabelPosition::LowerRight;
        let accuracy = Chart {
            name: "accuracy, %",
            unit: 100.0,
            low: 100.0,
            high: 100.0,
            legend,
        };
        accuracy.draw(&halves[1], history, |r| [r.train_accuracy, r.test_accuracy])?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Axes<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordu64, RangedCoordf64>>;

/// One chart of two lines. `low` and `high` are values that the axis always shows.
struct Chart {
    name: &'static str,
    unit: f64,
    low: f64,
    high: f64,
    legend: SeriesLabelPosition,
}

impl Chart {
    fn draw(
        &self,
        area: &Area<'_>,
        history: &[EpochRecord],
        pick: impl Fn(&EpochRecord) -> [f64; 2],
    ) -> Result<()> {
        let line = |which: usize| {
            let points = history
                .iter()
                .map(|r| (r.epoch, self.unit * pick(r)[which]));
            points.filter(|p| p.1.is_finite()).collect::<Vec<_>>()
        };
        let lines = [("train", TRAIN, line(0)), ("held out", TEST, line(1))];
        let range = self.range(lines.iter().flat_map(|l| l.2.iter().map(|p| p.1)));
        let last = history.iter().map(|r| r.epoch).max().unwrap_or(1).max(2);
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(1..last, range)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .x_labels(10)
            .y_labels(6)
            .label_style((FONT, 14, &INK))
            .axis_desc_style((FONT, 15, &INK))
            .x_desc("epoch")
            .y_desc(self.name)
            .draw()
            .map_err(failed)?;
        for (name, colour, points) in lines {
            draw_line(&mut chart, name, colour, points)?;
        }
        chart
            .configure_series_labels()
            .position(self.legend.clone())
            .margin(10)
            .border_style(GRID)
            .background_style(WHITE.mix(0.9))
            .label_font((FONT, 14, &INK))
            .draw()
            .map_err(failed)
    }

    /// The axis: all values and the fixed ones with some air, never empty.
    fn range(&self, values: impl Iterator<Item = f64>) -> Range<f64> {
        let (low, high) = values.fold((self.low, self.high), |(l, h), v| (l.min(v), h.max(v)));
        let low = if low.is_finite() { low } else { 0.0 };
        let air = 0.05 * (high - low).max(0.01 * self.unit);
        (low - air).max(0.0)..high + air
    }
}

fn draw_line(
    chart: &mut Axes<'_, '_>,
    name: &str,
    colour: RGBColor,
    points: Vec<(u64, f64)>,
) -> Result<()> {
    let style = colour.stroke_width(2);
    // A single point draws no line.
    if let [point] = points.as_slice() {
        let dot = Circle::new(*point, 3, colour.filled());
        chart.draw_series([dot]).map_err(failed)?;
    }
    chart
        .draw_series(LineSeries::new(points, style))
        .map_err(failed)?
        .label(name)
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u64) -> EpochRecord {
        let e = epoch as f64;
        EpochRecord {
            epoch,
            step: 22 * epoch,
            learning_rate: 0.1,
            train_loss: 0.5 + 1.8 / e,
            train_accuracy: 1.0 - 0.7 / e,
            test_loss: if epoch == 3 { f64::NAN } else { 0.6 + 1.5 / e },
            test_accuracy: 0.99 - 0.6 / e,
            test_top5: 1.0,
            seconds: 1.0,
            images_per_second: 1000.0,
        }
    }

    /// The number of points of each line in the colour of the training part.
    fn line_lengths(svg: &str) -> Vec<usize> {
        let lines = svg
            .lines()
            .filter(|l| l.contains("<polyline") && l.contains("#0072B2"));
        lines
            .map(|l| {
                let points = l
                    .split("points=\"")
                    .nth(1)
                    .and_then(|p| p.split('"').next())
                    .unwrap();
                points.split_whitespace().count()
            })
            .collect()
    }

    #[test]
    fn curves_of_none_one_and_many_epochs() {
        for count in [0, 1, 2, 30] {
            let history: Vec<_> = (1..=count).map(record).collect();
            let svg = learning_curves(&history).unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
            for text in ["epoch", "loss", "accuracy, %", "held out", "train"] {
                assert!(svg.contains(text), "{count}: {text}");
            }
            assert!(!svg.contains("NaN"));
            let lengths = line_lengths(&svg);
            let drawn = lengths.iter().filter(|&&n| n == count as usize).count();
            assert!(count < 3 || drawn == 2, "{count}: {lengths:?}");
        }
    }
}
