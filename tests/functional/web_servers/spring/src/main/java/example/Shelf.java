package example;

import jakarta.servlet.http.HttpServletRequest;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.http.MediaType;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.servlet.mvc.method.annotation.StreamingResponseBody;

/** A Spring Boot application, as it runs anywhere: it knows nothing of Ebb but $PORT. */
@SpringBootApplication
@RestController
public class Shelf {
  private static final Logger LOG = LoggerFactory.getLogger(Shelf.class);
  private final String born = Long.toString(System.nanoTime());
  private final AtomicLong present = new AtomicLong();
  private final AtomicLong most = new AtomicLong();

  public static void main(String[] arguments) {
    SpringApplication.run(Shelf.class, arguments);
  }

  @RequestMapping("/**")
  Map<String, Object> any(HttpServletRequest in, @RequestParam(defaultValue = "0s") String sleep, @RequestBody(required = false) String body)
      throws InterruptedException {
    long now = present.incrementAndGet();
    try {
      most.accumulateAndGet(now, Math::max);
      Thread.sleep((long) (Double.parseDouble(sleep.substring(0, sleep.length() - 1)) * 1000));
      LOG.info("asked for {}", in.getRequestURI());
      String prefix = in.getHeader("X-Forwarded-Prefix");
      String query = in.getQueryString();
      return Map.of("born", born, "path", in.getRequestURI(), "query", query == null ? "" : query, "prefix", prefix == null ? "" : prefix,
          "body", body == null ? "" : body, "most", most.get());
    } finally {
      present.decrementAndGet();
    }
  }

  @GetMapping("/stream")
  ResponseEntity<StreamingResponseBody> stream() {
    StreamingResponseBody body = (out) -> {
      for (int number = 0; number < 3; ++number) {
        out.write(("data: " + number + "\n\n").getBytes());
        out.flush();
      }
    };
    return ResponseEntity.ok().contentType(MediaType.TEXT_EVENT_STREAM).body(body);
  }

  @GetMapping("/error-page")
  String error() throws IOException {
    throw new IOException("no such book");
  }

  @GetMapping("/fill")
  String fill() {
    List<byte[]> all = new ArrayList<>();
    while (true) {
      all.add(new byte[1 << 20]);
    }
  }

  @GetMapping("/exit")
  String exit() {
    Runtime.getRuntime().halt(3);
    return "";
  }
}
