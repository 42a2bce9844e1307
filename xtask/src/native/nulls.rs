//! Generates, from the header, the test that passes NULL for every pointer of every function, one
//! at a time.
//!
//! Valid arguments come from `tests/c/nulls.h`, under the names of the parameters. A function or a
//! parameter that is not known there does not compile, so none is forgotten.

use std::fmt::Write;

/// Pointers that may be NULL though their function can fail.
const OPTIONAL: [(&str, &str); 2] =
    [("braid_executor_new", "options"), ("braid_prestate_code", "hash")];

/// Needs a sink, which exists only inside a callback: `tests/c/hostile_reader.c` has its NULLs.
const ELSEWHERE: [&str; 1] = ["braid_code_put"];

struct Function {
    name: String,
    fails: bool,
    parameters: Vec<Parameter>,
}

struct Parameter {
    name: String,
    pointer: bool,
    /// The type that an out-parameter points to.
    makes: Option<String>,
}

/// The program's text.
pub(crate) fn program(header: &str) -> Result<String, String> {
    let mut text = "#include \"nulls.h\"\n\n".to_owned();
    let mut calls = String::new();
    for function in functions(header)? {
        if ELSEWHERE.contains(&function.name.as_str()) {
            continue;
        }
        let name = &function.name;
        write!(text, "static void test_{name}(void) {{\n{}}}\n\n", body(&function))
            .and_then(|()| writeln!(calls, "    test_{name}();"))
            .map_err(|error| error.to_string())?;
    }
    text.push_str("int main(int count, char **names) {\n    CHECK(count == 2);\n");
    text.push_str("    dump *dump = dump_read(names[1]);\n    prepare(dump);\n");
    text.push_str(&calls);
    text.push_str("    finish();\n    dump_free(dump);\n    return 0;\n}\n");
    Ok(text)
}

/// All valid, then each pointer NULL in turn, with and without a place for the error.
fn body(function: &Function) -> String {
    let mut text = String::new();
    let mut line = |null: &[&str], expected: Option<&str>| {
        let arguments: Vec<String> = (0..function.parameters.len())
            .map(|index| argument(&function.parameters, index, null))
            .collect();
        let call = format!("{}({})", function.name, arguments.join(", "));
        match expected {
            Some(expected) => {
                text.push_str(&format!("    CHECK_EQUAL({call}, {expected});\n"));
                if expected != "BRAID_OK" {
                    text.push_str("    check_made_nothing();\n");
                }
                text.push_str("    discard();\n");
            }
            None => text.push_str(&format!("    (void){call};\n")),
        }
    };
    if !function.fails {
        let all: Vec<&str> = function.parameters.iter().map(|p| p.name.as_str()).collect();
        line(&all, None);
        if !function.name.ends_with("_free") && !function.name.ends_with("_trigger") {
            line(&[], None);
        }
        return text;
    }
    line(&[], Some("BRAID_OK"));
    for parameter in function.parameters.iter().filter(|parameter| parameter.pointer) {
        let name = parameter.name.as_str();
        let optional = name == "error" || OPTIONAL.contains(&(function.name.as_str(), name));
        let expected = if optional { "BRAID_OK" } else { "BRAID_NULL_ARGUMENT" };
        line(&[name], Some(expected));
        line(&[name, "error"], Some(expected));
    }
    text
}

fn argument(parameters: &[Parameter], index: usize, null: &[&str]) -> String {
    let parameter = &parameters[index];
    let name = &parameter.name;
    if parameter.pointer && null.contains(&name.as_str()) {
        return "NULL".to_owned();
    }
    match &parameter.makes {
        Some(made) => format!("&made_{made}"),
        // A length is named after the array before it.
        None if index > 0 && (name == "len" || name == "count") => {
            format!("{name}_{}", parameters[index - 1].name)
        }
        None => name.clone(),
    }
}

/// The prototypes, parsed.
fn functions(header: &str) -> Result<Vec<Function>, String> {
    let code = header.split("extern \"C\" {").nth(1).ok_or("the header has no functions")?;
    let code = code.split("#ifdef __cplusplus").next().unwrap_or(code);
    let lines = code.lines().map(str::trim);
    let plain: Vec<&str> = lines.filter(|line| !line.starts_with(['#', '/', '*'])).collect();
    let prototypes = plain.join(" ");
    let parse = |prototype: &str| {
        let (head, tail) = prototype.split_once('(')?;
        let tail = tail.strip_suffix(')')?;
        let (result, name) = head.rsplit_once([' ', '*'])?;
        let parameters =
            tail.split(',').map(str::trim).filter(|one| *one != "void" && !one.is_empty());
        Some(Function {
            name: name.to_owned(),
            fails: result.trim() == "int32_t",
            parameters: parameters.map(parameter).collect::<Option<_>>()?,
        })
    };
    let prototypes = prototypes.split(';').map(str::trim).filter(|one| !one.is_empty());
    prototypes.map(|one| parse(one).ok_or_else(|| format!("not understood: {one}"))).collect()
}

fn parameter(text: &str) -> Option<Parameter> {
    let (_, name) = text.rsplit_once([' ', '*'])?;
    let of = &text[..text.len() - name.len()].trim_end();
    let base = of.trim_end_matches(['*', ' ']);
    let base = base.strip_prefix("const ").unwrap_or(base);
    let base = base.strip_prefix("struct ").unwrap_or(base);
    let makes = of.ends_with("**").then(|| base.to_owned());
    Some(Parameter { name: name.to_owned(), pointer: of.ends_with('*'), makes })
}
