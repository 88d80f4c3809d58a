# Runs a script in R, and calls one of its functions for the Python process above it.
#
#   Rscript worker.R ASKS ANSWERS FILE FUNCTION
#
# ASKS and ANSWERS are descriptors of pipes that carry the frames of the worker line: 4 bytes with the length of the
# header, 8 with that of the body (little endian), the header as JSON, the body. What the script prints goes elsewhere,
# to stdout and stderr. The end of ASKS is the end of this process.

# Its name begins with a dot, so that a script which lists or removes what is there does not meet it.
.deepaas_core <- function() {
  argv <- commandArgs(trailingOnly = TRUE)
  asks <- file(file.path("/dev/fd", argv[[1]]), "rb", raw = TRUE)
  answers <- file(file.path("/dev/fd", argv[[2]]), "wb", raw = TRUE)
  script <- argv[[3]]
  wanted <- argv[[4]]
  options(warn = 1, keep.source = TRUE, width = 120)

  # ---- The line -------------------------------------------------------------------------------------------------------

  send <- function(header, body = raw(0)) {
    head <- charToRaw(enc2utf8(header))
    sizes <- as.integer(c(length(head), length(body), 0L))
    writeBin(c(writeBin(sizes, raw(), endian = "little"), head), answers)
    if (length(body)) writeBin(body, answers)
    flush(answers)
  }

  exactly <- function(size) {
    data <- readBin(asks, "raw", size)
    if (length(data) < size) quit("no", 0, runLast = FALSE)
    data
  }

  text <- function(bytes) {
    value <- rawToChar(bytes)
    Encoding(value) <- "UTF-8"
    value
  }

  # The body of the next question, whose header says nothing.
  receive <- function() {
    sizes <- readBin(exactly(12), "integer", 3, endian = "little")
    exactly(sizes[[1]])
    exactly(sizes[[2]])
  }

  # ---- Values as JSON -------------------------------------------------------------------------------------------------

  quoted <- function(x) {
    x <- enc2utf8(x)
    broken <- !is.na(x) & !validUTF8(x)
    x[broken] <- iconv(x[broken], "latin1", "UTF-8")
    x <- gsub("\"", "\\\"", gsub("\\", "\\\\", x, fixed = TRUE), fixed = TRUE)
    if (any(grepl("[\001-\037]", x, useBytes = TRUE))) {
      for (code in 1:31) x <- gsub(rawToChar(as.raw(code)), sprintf("\\u%04x", code), x, fixed = TRUE)
    }
    ifelse(is.na(x), "null", paste0("\"", x, "\""))
  }

  # The shortest text that is the same number again.
  numbers <- function(x) {
    out <- sprintf("%.15g", x)
    finite <- is.finite(x)
    rough <- finite & suppressWarnings(as.numeric(out)) != x
    out[rough] <- sprintf("%.17g", x[rough])
    out[!finite] <- "null"
    out
  }

  moments <- function(x) {
    out <- format(x, "%Y-%m-%dT%H:%M:%OS6", tz = "UTC")
    ifelse(is.na(x), "null", paste0("\"", sub("\\.?0*$", "", out), "Z\""))
  }

  cannot <- function(path, what) {
    condition <- list(message = paste0(if (nzchar(path)) path else "result", ": ", what, " cannot become JSON"), call = NULL)
    stop(structure(class = c("deepaas_unencodable", "error", "condition"), condition))
  }

  # One JSON text for each item of an atomic vector.
  items <- function(x, path) {
    if (inherits(x, "AsIs")) class(x) <- setdiff(class(x), "AsIs")
    if (is.factor(x)) return(quoted(as.character(x)))
    if (inherits(x, "Date")) return(ifelse(is.na(x), "null", paste0("\"", format(x, "%Y-%m-%d"), "\"")))
    if (inherits(x, "POSIXct")) return(moments(x))
    if (inherits(x, "difftime")) return(numbers(as.numeric(x, units = "secs")))
    if (inherits(x, "integer64")) return(ifelse(is.na(x), "null", as.character(x)))
    switch(typeof(x),
      logical = ifelse(is.na(x), "null", ifelse(x, "true", "false")),
      integer = ifelse(is.na(x), "null", sprintf("%d", unclass(x))),
      double = numbers(unclass(x)),
      character = quoted(unclass(x)),
      cannot(path, paste("a value of the type", typeof(x)))
    )
  }

  array_of <- function(parts) paste0("[", paste(parts, collapse = ","), "]")

  # Nested lists, the first axis outermost.
  nested <- function(texts, axes) {
    if (any(axes == 0)) {
      if (axes[[1]] == 0) return("[]")
      return(array_of(rep(nested(texts, axes[-1]), axes[[1]])))
    }
    texts <- as.vector(aperm(array(texts, axes)))
    for (size in rev(axes)) texts <- apply(matrix(texts, nrow = size), 2, array_of)
    texts
  }

  inside <- function(path, key) if (nzchar(path)) paste0(path, ".", key) else key

  object_of <- function(keys, values, path = "") {
    if (anyDuplicated(keys)) cannot(path, paste("what has two members called", keys[duplicated(keys)][[1]]))
    paste0("{", paste0(quoted(keys), ":", values, collapse = ","), "}")
  }

  encode <- function(x, path = "", depth = 0) {
    if (depth > 100) cannot(path, "what is nested more than 100 levels deep")
    if (is.null(x)) return("null")
    if (is.raw(x)) return(paste0("\"", gsub("\n", "", jsonlite::base64_enc(x), fixed = TRUE), "\""))
    if (inherits(x, "POSIXlt")) x <- as.POSIXct(x)
    if (inherits(x, "numeric_version")) x <- as.character(x)
    if (is.data.frame(x)) return(table_of(x, path, depth))
    if (is.list(x)) return(list_of(x, path, depth))
    if (!is.atomic(x)) cannot(path, paste("an object of the class", class(x)[[1]]))
    axes <- dim(x)
    if (length(axes) > 1) return(nested(items(as.vector(unclass(x)), path), axes))
    texts <- items(x, path)
    if (length(texts) == 1 && is.null(axes) && !inherits(x, "AsIs")) texts else array_of(texts)
  }

  table_of <- function(x, path, depth) {
    if (!length(x)) return("{}")
    columns <- vapply(seq_along(x), function(at) {
      column <- .subset2(x, at)
      where <- inside(path, names(x)[[at]])
      if (is.data.frame(column)) table_of(column, where, depth + 1)
      else if (is.list(column) && !inherits(column, "POSIXlt")) list_of(unname(column), where, depth + 1)
      else encode(if (is.null(dim(column))) I(column) else column, where, depth + 1)
    }, "")
    object_of(names(x), columns, path)
  }

  list_of <- function(x, path, depth) {
    x <- unclass(x)
    keys <- names(x)
    if (is.null(keys)) {
      parts <- vapply(seq_along(x), function(at) encode(x[[at]], paste0(path, "[", at, "]"), depth + 1), "")
      return(array_of(parts))
    }
    if (!length(x)) return("{}")
    nameless <- is.na(keys) | !nzchar(keys)
    keys[nameless] <- as.character(which(nameless))
    object_of(keys, vapply(seq_along(x), function(at) encode(x[[at]], inside(path, keys[[at]]), depth + 1), ""), path)
  }

  # ---- Values from JSON -----------------------------------------------------------------------------------------------

  is_record <- function(x) is.list(x) && !is.data.frame(x) && !is.null(names(x))

  # What a parameter that takes a table is given: records, columns by name, or a single record.
  as_table <- function(x) {
    if (is.data.frame(x) || !is_record(x)) return(x)
    columns <- lapply(x, function(column) if (is.null(column)) NA else if (is.list(column)) I(column) else column)
    as.data.frame(columns, optional = TRUE, stringsAsFactors = FALSE)
  }

  tables <- "^(([[:alnum:]._]+_)?df|data|frame|data[._]?frame|new[._]?data|rows|records|features|instances|samples|X)$"

  takes_table <- function(name) {
    grepl(tables, name) ||
      (is.call(parameters[[name]]) && identical(parameters[[name]][[1]], as.name("data.frame")))
  }

  # ---- What can be said of an error -----------------------------------------------------------------------------------

  words <- function(call) paste(deparse(call, width.cutoff = 120L, nlines = 1L), collapse = " ")

  # The calls inside the author's code, outermost first.
  trail <- function(calls) {
    ours <- which(vapply(calls, function(call) identical(call[[1]], as.name("..deepaas_call..")), TRUE))
    if (length(ours)) calls <- calls[-seq_len(max(ours) + 1)]
    calls <- head(calls, -2) # the handler itself, and what signalled
    utils::tail(utils::limitedLabels(calls, 200L), 50L)
  }

  told <- function(error, calls) {
    call <- conditionCall(error)
    status <- error$http_status_code
    members <- list(
      type = class(error)[[1]],
      message = paste(conditionMessage(error), collapse = "\n"),
      call = if (is.null(call)) NULL else words(call),
      trail = I(as.character(calls))
    )
    if (is.numeric(status)) members$status <- as.integer(status[[1]])
    members
  }

  # Evaluates, and gives either list(value =) or list(error =).
  attempt <- function(expression) {
    calls <- character()
    tryCatch(
      list(value = withCallingHandlers(expression, error = function(error) {
        calls <<- tryCatch(trail(sys.calls()), error = function(e) character())
      })),
      deepaas_unencodable = function(error) list(error = list(unencodable = TRUE, message = conditionMessage(error))),
      error = function(error) list(error = told(error, calls))
    )
  }

  # ---- The script -----------------------------------------------------------------------------------------------------

  fail <- function(message, line = NULL) {
    where <- if (is.null(line)) "" else paste0(" (", script, ", line ", line, ")")
    send(object_of("failed", quoted(paste0(message, where))))
    quit("no", 1, runLast = FALSE)
  }

  if (!requireNamespace("jsonlite", quietly = TRUE)) {
    fail("R has no package jsonlite: install r-cran-jsonlite, or install.packages(\"jsonlite\")")
  }

  attach(
    list(deepaas_response = function(body = NULL, status = 200L, content_type = NULL, headers = list()) {
      structure(
        list(body = body, status = status, content_type = content_type, headers = headers),
        class = "deepaas_response"
      )
    }),
    name = "deepaas_core", warn.conflicts = FALSE
  )

  parsed <- tryCatch(
    parse(script, keep.source = TRUE, encoding = "UTF-8"),
    error = function(error) fail(conditionMessage(error))
  )
  lines <- vapply(attr(parsed, "srcref"), function(ref) ref[[1]], 1L)
  for (at in seq_along(parsed)) {
    outcome <- attempt(eval(parsed[[at]], globalenv()))
    if (!is.null(outcome$error)) {
      fail(paste0(outcome$error$type, ": ", outcome$error$message), lines[[at]])
    }
  }

  found <- get0(wanted, globalenv(), mode = "function")
  if (is.null(found)) {
    has <- Filter(function(name) is.function(get(name, globalenv())), ls(globalenv()))
    others <- if (length(has)) paste0("; it has ", paste(has, collapse = ", ")) else ", and no other"
    fail(paste0(script, " has no function '", wanted, "'", others))
  }

  parameters <- as.list(formals(if (is.primitive(found)) args(found) else found))

  # The comments #' right above the function.
  comments <- function() {
    made <- vapply(parsed, function(one) {
      is.call(one) && as.character(one[[1]])[[1]] %in% c("<-", "=", "<<-") && identical(as.character(one[[2]])[[1]], wanted)
    }, TRUE)
    if (!any(made)) return("")
    source <- readLines(script, warn = FALSE, encoding = "UTF-8")
    line <- lines[[max(which(made))]] - 1
    above <- character()
    while (line > 0 && grepl("^#'", source[[line]])) {
      above <- c(sub("^#' ?", "", source[[line]]), above)
      line <- line - 1
    }
    paste(above, collapse = "\n")
  }

  # What a default says of its parameter, if it consists of nothing but constants.
  constant <- function(default) {
    plain <- c("-", "+", "c", "(", "character", "numeric", "integer", "logical")
    if (is.call(default) && !all(setdiff(all.names(default), plain) == "")) return(NULL)
    if (is.name(default)) return(NULL)
    tryCatch(list(value = eval(default, baseenv())), error = function(error) NULL)
  }

  described <- function(name) {
    said <- list(name = name)
    if (identical(parameters[[name]], quote(expr = ))) return(c(said, required = TRUE))
    known <- constant(parameters[[name]])
    if (is.null(known)) return(said)
    value <- known$value
    if (is.null(value)) return(c(said, nullable = TRUE, list(default = NULL)))
    kind <- switch(typeof(value), double = "number", integer = "integer", character = "string", logical = "boolean")
    if (is.null(kind)) return(said)
    matched <- is.character(value) && length(value) > 1 && "match.arg" %in% all.names(body(found))
    if (matched) return(c(said, kind = kind, list(choices = I(value))))
    if (length(value) != 1) return(c(said, kind = "array", list(items = list(name = "", kind = kind))))
    if (is.na(value)) return(c(said, nullable = TRUE, kind = if (typeof(value) == "logical") "any" else kind))
    c(said, kind = kind, default = value)
  }

  first <- if (length(parameters)) names(parameters)[[1]] else ""
  send(encode(list(ready = list(
    arguments = lapply(setdiff(names(parameters), "..."), described),
    any_keyword = "..." %in% names(parameters),
    table = if (nzchar(first) && takes_table(first)) first,
    docs = comments(),
    version = as.character(getRversion())
  ))))

  # ---- Calls ----------------------------------------------------------------------------------------------------------

  # The author's function, called by its name so that errors show the call as it would be written.
  answer <- function(values) {
    for (name in names(values)) {
      if (!is.null(values[[name]]) && takes_table(name)) values[[name]] <- as_table(values[[name]])
    }
    scope <- list2env(values, parent = globalenv())
    assign(wanted, found, scope)
    call <- as.call(c(as.name(wanted), structure(lapply(names(values), as.name), names = names(values))))
    ..deepaas_call.. <- function() eval(call, scope)
    ..deepaas_call..()
  }

  # Many records: columns by name, some with the levels that they can have.
  table_from <- function(told) {
    columns <- told$columns
    for (name in names(told$levels)) columns[[name]] <- factor(columns[[name]], told$levels[[name]])
    columns <- lapply(columns, function(column) if (is.list(column) && !is.data.frame(column)) I(column) else column)
    structure(columns, class = "data.frame", row.names = .set_row_names(told$count))
  }

  # The frame of an answer.
  answered <- function(body) {
    told <- jsonlite::parse_json(text(body), simplifyVector = TRUE)
    values <- as.list(told$values)
    if (!is.null(told$columns)) values[[first]] <- table_from(told)
    value <- answer(values)
    if (!inherits(value, "deepaas_response")) return(list(header = "{}", body = charToRaw(enc2utf8(encode(value)))))
    value <- unclass(value)
    headers <- lapply(seq_along(value$headers), function(at) {
      list(names(value$headers)[[at]], as.character(value$headers[[at]]))
    })
    is_raw <- is.raw(value$body) && !is.null(value$content_type)
    list(
      header = encode(list(
        response = list(status = value$status, content_type = value$content_type, headers = headers), raw = is_raw
      )),
      body = if (is_raw) value$body else charToRaw(enc2utf8(encode(value$body)))
    )
  }

  repeat {
    outcome <- attempt(answered(receive()))
    if (is.null(outcome$error)) send(outcome$value$header, outcome$value$body)
    else send(encode(list(error = outcome$error)))
    rm(outcome)
  }
}

.deepaas_core()
