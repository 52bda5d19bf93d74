//! HTML, of which all text is escaped in one place.

use std::fmt::{self, Display, Write};

/// A part of the page: a table, or a sentence if there are no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// The end of the section's address.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What the table is about, or the sentence in its place.
    pub(super) caption: String,
    pub(super) columns: &'static [Column],
    /// The first cell of a row is what the row is about.
    pub(super) rows: Vec<Vec<String>>,
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Text(&'static str),
    /// Its values line up on the right.
    Number(&'static str),
}

/// Text as HTML.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Escape<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for character in text.chars() {
                    match character {
                        '&' => self.0.write_str("&amp;")?,
                        '<' => self.0.write_str("&lt;")?,
                        '>' => self.0.write_str("&gt;")?,
                        '"' => self.0.write_str("&quot;")?,
                        '\'' => self.0.write_str("&#39;")?,
                        other => self.0.write_char(other)?,
                    }
                }
                Ok(())
            }
        }
        write!(Escape(f), "{}", self.0)
    }
}

/// Writes the section. A table that is wider than a phone scrolls by itself, also by
/// keyboard.
impl Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, title, caption, columns, rows } = self;
        let (title, caption) = (Escaped(title), Escaped(caption));
        writeln!(f, "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>")?;
        if rows.is_empty() {
            return writeln!(f, "<p>{caption}</p>\n</section>");
        }
        writeln!(
            f,
            "<div class=\"table\" role=\"group\" aria-labelledby=\"{id}\" tabindex=\"0\">\n\
             <table>\n<caption>{caption}</caption>"
        )?;
        f.write_str("<thead><tr>")?;
        for column in *columns {
            let (class, name) = (column.class(), Escaped(column.name()));
            write!(f, "<th scope=\"col\"{class}>{name}</th>")?;
        }
        f.write_str("</tr></thead>\n<tbody>\n")?;
        for row in rows {
            f.write_str("<tr>")?;
            for (index, (cell, column)) in row.iter().zip(*columns).enumerate() {
                let (class, cell) = (column.class(), Escaped(cell));
                if index == 0 {
                    write!(f, "<th scope=\"row\"{class}>{cell}</th>")?;
                } else {
                    write!(f, "<td{class}>{cell}</td>")?;
                }
            }
            f.write_str("</tr>\n")?;
        }
        f.write_str("</tbody>\n</table>\n</div>\n</section>\n")
    }
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Number(name) => name,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Text(_) => "",
            Self::Number(_) => " class=\"number\"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_clients_is_never_markup() {
        let hostile = r#"</td><script>alert('1')</script>"&amp;"#;
        let escaped =
            "&lt;/td&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;amp;";
        let row = vec![hostile.to_owned(), hostile.to_owned()];
        let section = Section {
            id: "id",
            title: "Title",
            caption: hostile.to_owned(),
            columns: &[Column::Text("Name"), Column::Number("Number")],
            rows: vec![row],
        };
        for section in [section.clone(), Section { rows: Vec::new(), ..section }] {
            let html = section.to_string();
            let expected = if section.rows.is_empty() { 1 } else { 3 };
            assert_eq!(html.matches(escaped).count(), expected, "{html}");
            assert!(!html.contains("<script"), "{html}");
        }
    }
}
