//! The confusion matrix.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{FONT, INK, failed};
use crate::error::{Error, Result};
use crate::metrics::ConfusionMatrix;

/// Up to this many classes the cells have numbers and the axes names.
const NUMBERED_CLASSES: usize = 30;
const LONGEST_NAME: usize = 16;
const TOP: i32 = 56;

/// A row for each class, a column for each prediction, the counts in the cells and their share of the row as the shade.
///
/// # Errors
/// When there are no classes, or the picture cannot be drawn.
pub fn confusion(matrix: &ConfusionMatrix) -> Result<String> {
    let mut svg = String::new();
    let plan = Plan::new(matrix)?;
    {
        let area = SVGBackend::with_string(&mut svg, plan.size()).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let pen = Pen { area: &area };
        plan.draw_cells(&pen, matrix)?;
        plan.draw_frame(&pen, matrix)?;
        if plan.numbered {
            plan.draw_names(&pen, matrix.classes())?;
        }
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

/// Where things are, in pixels.
struct Plan {
    classes: i32,
    numbered: bool,
    /// The side of a cell.
    cell: i32,
    /// Left of the cells: the names of the rows.
    left: i32,
    /// Below the cells: the names of the columns.
    bottom: i32,
    /// Names that are too wide for a column are turned.
    turned: bool,
}

impl Plan {
    fn new(matrix: &ConfusionMatrix) -> Result<Self> {
        let classes = matrix.classes();
        // The length of a list of names: nowhere near the limit of an i32.
        let n = classes.len() as i32;
        if n == 0 {
            return Err(Error::Mismatch(
                "a confusion matrix of no classes".to_owned(),
            ));
        }
        let numbered = classes.len() <= NUMBERED_CLASSES;
        let longest = classes.iter().map(|c| c.chars().count()).max().unwrap_or(0);
        let name = if numbered {
            8 * longest.min(LONGEST_NAME) as i32
        } else {
            0
        };
        let turned = longest > 4;
        Ok(Self {
            classes: n,
            numbered,
            cell: if numbered {
                44
            } else {
                (1000 / n).clamp(1, 24)
            },
            left: 48 + name,
            bottom: 28 + if turned { name } else { 8 },
            turned,
        })
    }

    fn side(&self) -> i32 {
        self.cell * self.classes
    }

    fn size(&self) -> (u32, u32) {
        let width = self.left + self.side() + 24;
        (
            width.max(260) as u32,
            (TOP + self.side() + self.bottom + 24) as u32,
        )
    }

    fn draw_cells(&self, pen: &Pen<'_, '_>, matrix: &ConfusionMatrix) -> Result<()> {
        let n = self.classes;
        for (truth, predicted) in (0..n).flat_map(|t| (0..n).map(move |p| (t, p))) {
            let count = matrix.count(truth as usize, predicted as usize);
            if count == 0 {
                continue;
            }
            let share = count as f64 / matrix.truths(truth as usize) as f64;
            let (x, y) = (self.left + self.cell * predicted, TOP + self.cell * truth);
            let corners = [(x, y), (x + self.cell, y + self.cell)];
            pen.area
                .draw(&Rectangle::new(corners, shade(share).filled()))
                .map_err(failed)?;
            if self.numbered {
                let colour = if share > 0.5 { WHITE } else { INK };
                let centre = (x + self.cell / 2, y + self.cell / 2);
                pen.write(&count.to_string(), centre, 15, colour, HPos::Center)?;
            }
        }
        Ok(())
    }

    fn draw_frame(&self, pen: &Pen<'_, '_>, matrix: &ConfusionMatrix) -> Result<()> {
        let side = self.side();
        let corners = [(self.left, TOP), (self.left + side, TOP + side)];
        pen.area
            .draw(&Rectangle::new(corners, INK))
            .map_err(failed)?;
        let title = format!(
            "{:.2} % of {} right",
            100.0 * matrix.accuracy(),
            matrix.total()
        );
        pen.write(&title, (self.left, 24), 17, INK, HPos::Left)?;
        let below = (self.left + side / 2, TOP + side + self.bottom + 6);
        pen.write("predicted", below, 15, INK, HPos::Center)?;
        pen.write_turned("truth", (20, TOP + side / 2), 15, HPos::Center)
    }

    fn draw_names(&self, pen: &Pen<'_, '_>, classes: &[String]) -> Result<()> {
        for (i, class) in (0..).zip(classes) {
            let name: String = class.chars().take(LONGEST_NAME).collect();
            let middle = self.cell * i + self.cell / 2;
            pen.write(&name, (self.left - 8, TOP + middle), 14, INK, HPos::Right)?;
            let (x, y) = (self.left + middle, TOP + self.side());
            if self.turned {
                pen.write_turned(&name, (x, y + 8), 14, HPos::Right)?;
            } else {
                pen.write(&name, (x, y + 16), 14, INK, HPos::Center)?;
            }
        }
        Ok(())
    }
}

struct Pen<'a, 'b> {
    area: &'a DrawingArea<SVGBackend<'b>, Shift>,
}

impl Pen<'_, '_> {
    fn write(&self, text: &str, at: (i32, i32), size: i32, ink: RGBColor, h: HPos) -> Result<()> {
        let style = TextStyle::from((FONT, size).into_font()).color(&ink);
        self.text(text, at, style, h)
    }

    fn write_turned(&self, text: &str, at: (i32, i32), size: i32, h: HPos) -> Result<()> {
        let font = (FONT, size).into_font().transform(FontTransform::Rotate270);
        self.text(text, at, TextStyle::from(font).color(&INK), h)
    }

    fn text(&self, text: &str, at: (i32, i32), style: TextStyle<'_>, h: HPos) -> Result<()> {
        let style = style.pos(Pos::new(h, VPos::Center));
        self.area
            .draw(&Text::new(text.to_owned(), at, style))
            .map_err(failed)
    }
}

/// From nearly white to dark blue. Small shares are kept visible.
fn shade(share: f64) -> RGBColor {
    let t = 0.08 + 0.92 * share.clamp(0.0, 1.0).sqrt();
    let mix = |from: f64, to: f64| (from + (to - from) * t).round() as u8;
    RGBColor(mix(247.0, 8.0), mix(251.0, 64.0), mix(255.0, 129.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(classes: usize, name: &str) -> ConfusionMatrix {
        let names: Vec<String> = (0..classes).map(|c| format!("{name}{c}")).collect();
        let mut matrix = ConfusionMatrix::new(&names);
        for i in 0..36 * classes {
            let truth = i % classes;
            let taken = if i % 17 == 0 {
                (truth + i / 17) % classes
            } else {
                truth
            };
            let mut scores = vec![0.0; classes];
            scores[taken] = 1.0;
            matrix.add(&scores, &[truth as i64]).unwrap();
        }
        matrix
    }

    #[test]
    fn shows_counts_names_and_the_accuracy() {
        let ten = matrix(10, "digit ");
        let svg = confusion(&ten).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        let accuracy = format!("{:.2} % of 360 right", 100.0 * ten.accuracy());
        for text in ["predicted", "truth", accuracy.as_str()] {
            assert!(svg.contains(text), "{text}");
        }
        // One on each axis.
        assert_eq!(svg.matches("digit 7").count(), 2);
        let filled = (0..10).flat_map(|t| (0..10).map(move |p| (t, p)));
        let filled = filled.filter(|&(t, p)| ten.count(t, p) > 0).count();
        // Besides the cells: the background and the frame.
        assert_eq!(svg.matches("<rect").count(), filled + 2);
    }

    #[test]
    fn names_are_escaped_and_many_are_left_out() {
        let svg = confusion(&matrix(4, "<b>&")).unwrap();
        assert!(svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>"));
        assert!(
            !confusion(&matrix(200, "class "))
                .unwrap()
                .contains("class ")
        );
        assert!(confusion(&matrix(0, "")).is_err());
        assert!(
            confusion(&matrix(1, "only"))
                .unwrap()
                .contains("100.00 % of 36")
        );
    }

    #[test]
    fn shades_darken() {
        let brightness = |s| shade(s).0;
        assert!(brightness(0.0) > brightness(0.01) && brightness(0.5) > brightness(1.0));
    }
}
