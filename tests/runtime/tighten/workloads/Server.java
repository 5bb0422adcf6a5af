// Rounds of requests to a server of its own, of threads, of a child process, and of a directory.
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;

public class Server {
    public static void main(String[] arguments) throws Exception {
        var pool = Executors.newFixedThreadPool(4);
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, 6);
            exchange.getResponseBody().write("hello\n".getBytes());
            exchange.close();
        });
        server.start();
        var place = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/");
        var client = HttpClient.newHttpClient();
        Callable<Integer> ask = () -> {
            var answer = client.send(HttpRequest.newBuilder(place).build(), BodyHandlers.ofString());
            return answer.body().equals("hello\n") ? 1 : 0;
        };
        while (true) {
            int answered = 0;
            for (var one : pool.invokeAll(IntStream.range(0, 100).mapToObj(i -> ask).toList())) answered += one.get();
            int child = new ProcessBuilder("true").start().waitFor();
            System.out.println(answered + " " + child + " " + made());
        }
    }

    static String made() {
        try {
            Files.delete(Files.createDirectory(Path.of("/tmp/made")));
            return "made";
        } catch (IOException error) {
            return error.getMessage();
        }
    }
}
